"""Running a decoder: what is kept, what it may depend on, and how often it is compiled."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax import Array
from numpy.typing import NDArray

from extract.decoder.attention import chunked
from extract.decoder.forward import Forward, Tap
from extract.decoder.modules import Attend, Decoder
from tests.decoder_cases import CASES, VOCABULARY, token_ids
from tests.decoder_models import Floats, all_taps, forward, load, place, spec_for, tensors

CONFIG = CASES["qwen2-v4-sliding"]
SPEC = spec_for(CONFIG)
IDS = token_ids("qwen2-v4-sliding")

RELATIVE = 1e-5
"""Float32 sums of other shapes; measured 4e-7."""


@cache
def decoder() -> Decoder:
    return load(SPEC, tensors(CONFIG))


@cache
def states() -> dict[int, Floats]:
    return run(forward(decoder(), SPEC), IDS)


def run(model: Forward, ids: NDArray[np.int32]) -> dict[int, Floats]:
    return {layer: np.asarray(x) for layer, x in model(ids).items()}


def same(found: Floats, expected: Floats) -> None:
    assert np.linalg.norm(found - expected) <= RELATIVE * np.linalg.norm(expected)


# ---- what is kept -----------------------------------------------------------------------------


def test_taps_name_what_is_kept() -> None:
    assert list(states()) == [0, 1, 2, 3, 4]
    some = run(forward(decoder(), SPEC, taps=[Tap(3), Tap(1)]), IDS)
    assert set(some) == {1, 3}
    for layer, x in some.items():
        assert x.tobytes() == states()[layer].tobytes()


def test_a_call_may_want_some_taps_alone() -> None:
    model = forward(decoder(), SPEC)
    for wanted in ({2}, {0, 1}, set[int]()):
        found = model(IDS, wanted)
        assert set(found) == wanted
        for layer, x in found.items():
            assert np.asarray(x).tobytes() == states()[layer].tobytes()


def test_layer_0_is_the_embedding() -> None:
    table = tensors(CONFIG).read("model.embed_tokens.weight")
    assert states()[0].tobytes() == table[IDS].tobytes()


@pytest.mark.parametrize("layer", [0, 4])
def test_final_norm_of_any_layer(layer: int) -> None:
    found = run(forward(decoder(), SPEC, taps=[Tap(layer, final_norm=True)]), IDS)[layer]
    x = states()[layer].astype(np.float64)
    weight = tensors(CONFIG).read("model.norm.weight")
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * weight
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_states_are_stored_in_bfloat16() -> None:
    model = Forward(decoder(), SPEC, taps=[Tap(4)], attend=chunked, placement=place())
    stored = np.asarray(model(IDS)[4])
    assert stored.dtype == ml_dtypes.bfloat16
    assert stored.tobytes() == states()[4].astype(ml_dtypes.bfloat16).tobytes()


@pytest.mark.parametrize("tap", [Tap(3), Tap(0, final_norm=True)])
def test_a_tap_needs_its_block_and_norm(tap: Tap) -> None:
    short = Decoder(SPEC, jnp.float32, blocks=2, norm=False)
    with pytest.raises(ValueError, match="without a block or the norm"):
        forward(short, SPEC, taps=[tap])
    forward(short, SPEC, taps=[Tap(2)])


# ---- what states depend on --------------------------------------------------------------------


def test_what_follows_a_token_changes_nothing() -> None:
    other = IDS.copy()
    other[:, 17:] = (other[:, 17:] + 1) % VOCABULARY
    found = run(forward(decoder(), SPEC), other)
    for layer, x in found.items():
        assert x[:, :17].tobytes() == states()[layer][:, :17].tobytes()
        assert not np.array_equal(x[:, 17], states()[layer][:, 17])


def test_padding_on_the_right_and_company_change_nothing() -> None:
    padded = np.pad(IDS[::-1], ((0, 1), (0, 9)))
    found = run(forward(decoder(), SPEC), padded)
    for layer, x in states().items():
        for row in (0, 1):
            same(found[layer][1 - row, : IDS.shape[1]], x[row])


# ---- compiling --------------------------------------------------------------------------------


class Counting:
    """Attention that is traced once for each program it becomes a part of."""

    def __init__(self) -> None:
        self.windows: list[int | None] = []
        self.precisions: set[str | None] = set()

    def __call__(self, q: Array, k: Array, v: Array, window: int | None) -> Array:
        self.windows.append(window)
        self.precisions.add(jax.config.values["jax_default_matmul_precision"])
        return v + q[:, :, : v.shape[2]] * k


def counted(attend: Attend, layers: int, lengths: list[int], devices: int = 1) -> None:
    config = CASES["olmo3-v4"] | {"num_hidden_layers": layers, "num_attention_heads": 2}
    spec = spec_for(config | {"head_dim": 8})
    model = forward(
        load(spec, tensors(config | {"head_dim": 8}), devices=devices),
        spec,
        taps=all_taps(spec),
        attend=attend,
        devices=devices,
    )
    for length in lengths:
        model(np.zeros((1, length), np.int32))


def test_one_program_for_each_shape_and_kind() -> None:
    attend = Counting()
    counted(attend, 8, [5])
    assert sorted(attend.windows, key=str) == [8, None]
    # Neither deeper models nor further calls compile anything; another shape does.
    counted(attend, 12, [5, 5])
    counted(attend, 4, [5])
    assert len(attend.windows) == 2
    counted(attend, 4, [6, 5])
    assert len(attend.windows) == 4
    assert attend.precisions == {"highest"}


def test_one_program_for_each_shape_and_kind_on_two_devices() -> None:
    attend = Counting()
    counted(attend, 8, [5, 5], devices=2)
    # Tracing the body of shard_map once more is not compiling.
    assert set(attend.windows) == {8, None}
    assert len(attend.windows) <= 4
