"""Filling a decoder: by name, each tensor once, one at a time, cut over the devices."""

from __future__ import annotations

import weakref
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from numpy.typing import NDArray

from extract.decoder.errors import WeightsMismatchError
from extract.decoder.forward import Tap
from extract.decoder.load import load_decoder
from extract.decoder.modules import Decoder
from tests.decoder_cases import CASES, token_ids, weights
from tests.decoder_models import Tensors, forward, load, place, spec_for, tensor_shapes, tensors

LLAMA = CASES["llama-v4"]
SPEC = spec_for(LLAMA)


def stored(prefix: str = "model.") -> dict[str, NDArray[Any]]:
    return {prefix + name: value for name, value in weights(tensor_shapes(LLAMA)).items()}


def values(decoder: Decoder) -> dict[str, NDArray[Any]]:
    flat = nnx.to_flat_state(nnx.state(decoder))
    return {".".join(map(str, path)): np.asarray(variable[...]) for path, variable in flat}


@pytest.mark.parametrize("case", ["llama-v4-biases-tied", "qwen2-v4", "qwen3-v4", "olmo3-v4"])
def test_every_tensor_by_its_name(case: str) -> None:
    expected = weights(tensor_shapes(CASES[case]))
    found = values(load(spec_for(CASES[case]), tensors(CASES[case])))
    assert set(found) == set(expected)
    for name, value in expected.items():
        kept = found[name].T if name.endswith("_proj.weight") else found[name]
        assert kept.shape == value.shape
        assert kept.tobytes() == value.tobytes()


@pytest.mark.parametrize("prefix", ["", "model."])
def test_names_with_and_without_the_prefix(prefix: str) -> None:
    source = Tensors(stored(prefix))
    assert len(values(load(SPEC, source))) == len(source.reads) == len(source.tensors)


def test_what_states_do_not_need_is_tolerated_and_not_read() -> None:
    extra = {
        "lm_head.weight": np.zeros((61, 32), np.float32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(4, np.float32),
    }
    source = Tensors(stored() | extra)
    load(SPEC, source)
    assert not set(extra) & set(source.reads)


@pytest.mark.parametrize(("blocks", "norm"), [(0, False), (2, False), (4, True)])
def test_only_what_is_wanted_is_read(blocks: int, norm: bool) -> None:
    source = tensors(LLAMA)
    load_decoder(SPEC, source, blocks=blocks, norm=norm, dtype=jnp.float32, placement=place())
    wanted = ("model.embed_tokens.", *(f"model.layers.{block}." for block in range(blocks)))
    wanted += ("model.norm.",) if norm else ()
    assert sorted(source.reads) == sorted(n for n in source.tensors if n.startswith(wanted))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (np.float32, jnp.bfloat16),
        (np.float16, jnp.float32),
        (ml_dtypes.bfloat16, jnp.float32),
        (ml_dtypes.bfloat16, jnp.bfloat16),
    ],
)
def test_weights_are_rounded_once(written: Any, kept: Any) -> None:
    source = Tensors({name: value.astype(written) for name, value in stored().items()})
    decoder = load_decoder(SPEC, source, blocks=0, norm=True, dtype=kept, placement=place())
    for name, value in values(decoder).items():
        expected = stored()[f"model.{name}"].astype(written).astype(kept)
        assert value.dtype == kept
        assert value.tobytes() == expected.tobytes()


class Lending(Tensors):
    """Remembers which of the arrays it gave out were still held at each reading."""

    def __init__(self, values: dict[str, NDArray[Any]]) -> None:
        super().__init__(values)
        self.lent: list[weakref.ref[NDArray[Any]]] = []
        self.held: list[int] = []

    def read(self, name: str) -> NDArray[Any]:
        self.held.append(sum(reference() is not None for reference in self.lent))
        tensor = super().read(name)
        self.lent.append(weakref.ref(tensor))
        return tensor


def test_one_tensor_at_a_time_beside_the_model() -> None:
    # Of another dtype than the model: an array of the same one may be the model's own memory.
    source = Lending({name: value.astype(np.float16) for name, value in stored().items()})
    load(SPEC, source)
    # The runtime may let go of the last one only when it is called next.
    assert max(source.held) <= 1
    assert 0 in source.held[1:]


# ---- refusals ---------------------------------------------------------------------------------

NORM = "model.layers.3.input_layernorm.weight"


def refused(source: Tensors) -> str:
    with pytest.raises(WeightsMismatchError) as caught:
        load_decoder(SPEC, source, blocks=1, norm=False, dtype=jnp.float32, placement=place())
    assert not source.reads
    assert str(caught.value).startswith("The weights do not fit the config: ")
    assert "Expected the 38 tensors that config.json implies" in str(caught.value)
    return str(caught.value)


def test_missing() -> None:
    """Also of blocks that would not be loaded."""
    assert f"{NORM} (missing: 1)" in refused(
        Tensors({name: value for name, value in stored().items() if name != NORM})
    )


def test_not_expected() -> None:
    name = "model.layers.0.self_attn.q_proj.bias"
    text = refused(Tensors(stored() | {name: np.zeros(32, np.float32)}))
    assert f"{name} (not expected: 1)" in text


def test_misshapen() -> None:
    text = refused(Tensors(stored() | {NORM: np.zeros(31, np.float32)}))
    assert f"{NORM} is [31] and not [32] (misshapen: 1)" in text


def test_transposed_is_misshapen() -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    text = refused(Tensors(stored() | {name: stored()[name].T}))
    assert f"{name} is [32, 48] and not [48, 32]" in text


def test_many_faults_are_counted_and_some_named() -> None:
    fewer = {name: value for name, value in stored().items() if ".layers.2." not in name}
    text = refused(Tensors(fewer | {"model.strange": np.zeros(1, np.float32)}))
    assert ", … (missing: 9); model.strange (not expected: 1)" in text
    assert text.count("model.layers.2.") == 5


# ---- several devices --------------------------------------------------------------------------


def shards(decoder: Decoder) -> dict[str, tuple[int, ...]]:
    """The shape of each device's part of what is cut."""
    flat = nnx.to_flat_state(nnx.state(decoder))
    parts = {
        ".".join(map(str, path)): variable[...].addressable_shards[1].data.shape
        for path, variable in flat
    }
    whole = {name: value.shape for name, value in values(decoder).items()}
    return {name: part for name, part in parts.items() if part != whole[name]}


def test_weights_are_cut() -> None:
    biased = CASES["llama-v4-biases-tied"]
    found = shards(load(spec_for(biased), tensors(biased), devices=2))
    attention, mlp = "layers.3.self_attn", "layers.3.mlp"
    assert {name: part for name, part in found.items() if "layers.3" in name} == {
        f"{attention}.q_proj.weight": (32, 16),
        f"{attention}.q_proj.bias": (16,),
        f"{attention}.k_proj.weight": (32, 8),
        f"{attention}.k_proj.bias": (8,),
        f"{attention}.v_proj.weight": (32, 8),
        f"{attention}.v_proj.bias": (8,),
        f"{attention}.o_proj.weight": (16, 32),
        f"{mlp}.gate_proj.weight": (32, 24),
        f"{mlp}.gate_proj.bias": (24,),
        f"{mlp}.up_proj.weight": (32, 24),
        f"{mlp}.up_proj.bias": (24,),
        f"{mlp}.down_proj.weight": (24, 32),
    }
    assert len(found) == 4 * 12


def test_an_axis_that_the_devices_do_not_divide_stays_whole() -> None:
    odd = LLAMA | {"intermediate_size": 47}
    found = shards(load(spec_for(odd), tensors(odd), devices=2))
    assert {name.split(".")[3] for name in found} == {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.mark.parametrize("kv_heads", [2, 1])
def test_two_devices_give_the_states_of_one(kv_heads: int) -> None:
    """One key head cannot be cut: each device then does all of the attention."""
    config = CASES["qwen3-v4"] | {"num_key_value_heads": kv_heads}
    spec, ids = spec_for(config), token_ids("qwen3-v4")
    one, two = (
        forward(load(spec, tensors(config), devices=n), spec, taps=[Tap(4)], devices=n)(ids)[4]
        for n in (1, 2)
    )
    assert len(two.devices()) == 2
    expected = np.asarray(one)
    assert np.linalg.norm(np.asarray(two) - expected) <= 1e-5 * np.linalg.norm(expected)


# ---- bfloat16 ---------------------------------------------------------------------------------


def test_bfloat16_stays_near_float32() -> None:
    config, ids = CASES["olmo3-v4"], token_ids("olmo3-v4")
    spec = spec_for(config)
    wide, narrow = (
        np.asarray(forward(load(spec, tensors(config), dtype), spec)(ids)[4])
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    error = np.linalg.norm(narrow - wide) / np.linalg.norm(wide)
    assert 1e-3 < error < 0.03
