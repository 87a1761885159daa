"""The decoder against states that transformers computed, kept in tests/golden: every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from extract.decoder.families import RopeVariant
from extract.decoder.spec import DecoderSpec, Rope
from tests.decoder_cases import ALL_LAYERS, CASES, LENGTHS, token_ids
from tests.decoder_models import Config, Floats, Model, differences, spec_for, tensors

GOLDEN = Path(__file__).parent / "golden"

TOLERANCE = 2e-5
"""Float32 sums in another order, over states of up to 12; measured 7e-6. The subtlest fault below
moves them by 0.05."""

SLIDING = ("olmo3-v4", "olmo3-v5")
"""Cases to run at further lengths; these two share compiled programs."""

FILES: Mapping[str, tuple[RopeVariant, Mapping[str, Config]]] = {
    "decoder": ("per_layer_type", CASES),
    "all_layers": ("all_layers", ALL_LAYERS),
}


def golden(file: str, case: str) -> dict[str, Floats]:
    """A case's states [T, d] by layer."""
    with safe_open(GOLDEN / f"{file}.safetensors", "np") as opened:
        names = [name for name in opened.offset_keys() if name.startswith(f"{case}/")]
        return {name.removeprefix(f"{case}/"): opened.get_tensor(name) for name in names}


def worst(spec: DecoderSpec, case: str, expected: Mapping[str, Floats], length: int) -> float:
    """Largest difference of any layer over a case's first `length` tokens."""
    found = Model(spec, tensors(CASES.get(case) or ALL_LAYERS[case])).states(
        token_ids(case, length)
    )
    first = {layer: states[0] for layer, states in found.items()}
    return max(differences(first, {layer: x[:length] for layer, x in expected.items()}))


@pytest.mark.parametrize(
    ("file", "case"), [(file, case) for file, (_, cases) in FILES.items() for case in cases]
)
def test_every_layer(file: str, case: str) -> None:
    variant, cases = FILES[file]
    spec = spec_for(cases[case], rope_variant=variant)
    expected = golden(file, case)
    assert set(expected) == {*map(str, range(spec.num_layers + 1)), "norm"}
    assert worst(spec, case, expected, max(LENGTHS)) <= TOLERANCE


@pytest.mark.parametrize("case", SLIDING)
def test_lengths_around_the_window(case: str) -> None:
    """No state depends on what follows it, so the shorter runs are the long one's beginnings."""
    expected = golden("decoder", case)
    for length in LENGTHS[:-1]:
        assert worst(spec_for(CASES[case]), case, expected, length) <= TOLERANCE


def widened(spec: DecoderSpec, by: int) -> DecoderSpec:
    kinds = (replace(kind, window=kind.window and kind.window + by) for kind in spec.kinds)
    return replace(spec, kinds=tuple(kinds))


def unscaled(spec: DecoderSpec) -> DecoderSpec:
    pairs = spec.head_dim // 2
    plain = Rope(tuple(float(10000.0 ** (-i / pairs)) for i in range(pairs)))
    return replace(spec, kinds=tuple(replace(kind, rope=plain) for kind in spec.kinds))


FAULTS: list[tuple[str, Callable[[DecoderSpec], DecoderSpec]]] = [
    *((case, lambda spec: widened(spec, 1)) for case in SLIDING),
    *((case, lambda spec: widened(spec, -1)) for case in SLIDING),
    ("olmo3-v4", lambda spec: replace(spec, kinds=(spec.kinds[-1],) * 4)),
    ("olmo3-v4", lambda spec: replace(spec, kinds=(spec.kinds[0],) * 4)),
    *((case, unscaled) for case in CASES if case.endswith(("linear", "llama3", "yarn-tied"))),
    ("qwen3-v4", lambda spec: replace(spec, norm_eps=1e-2)),
]


@pytest.mark.parametrize(("case", "fault"), FAULTS)
def test_faults_show(case: str, fault: Callable[[DecoderSpec], DecoderSpec]) -> None:
    spec = fault(spec_for(CASES[case]))
    assert worst(spec, case, golden("decoder", case), max(LENGTHS)) > 500 * TOLERANCE


def test_variants_differ() -> None:
    differing = differences(golden("decoder", "olmo3-v4"), golden("all_layers", "olmo3-v4"))
    assert max(differing) > 1


def test_versions_are_recorded() -> None:
    for file, version in (("decoder", "5.23.0"), ("all_layers", "5.12.1")):
        with safe_open(GOLDEN / f"{file}.safetensors", "np") as opened:
            assert opened.metadata() == {"transformers": version, "torch": "2.13.0+cpu"}
