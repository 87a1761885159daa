"""GGUF files: names, rows, values, configuration and faults, on files by the gguf package."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from extract.weights import errors as weight_errors
from extract.weights import open_checkpoint
from extract.weights.gguf._architectures import ARCHITECTURES
from extract.weights.gguf._header import read_gguf_header
from extract.weights.gguf._open import model_name
from spectra import errors
from tests.weight_files import (
    BLOCKS,
    DIM,
    HEAD_DIM,
    HEADS,
    INNER,
    KV_HEADS,
    TOKENS,
    Hook,
    gguf_tensors,
    write_gguf,
)

Q_NAME, HF_Q_NAME = "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight"
UP_NAME, HF_UP_NAME = "blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"


def paired(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Transformers' rows in llama.cpp's order, row by row: (first, second) of each pair."""
    out = np.empty_like(rows)
    width = len(rows) // heads
    for head in range(heads):
        for pair in range(width // 2):
            out[head * width + 2 * pair] = rows[head * width + pair]
            out[head * width + 2 * pair + 1] = rows[head * width + width // 2 + pair]
    return out


def test_q_and_k_of_llama_get_their_rows_back(tmp_path: Path) -> None:
    source = open_checkpoint(str(write_gguf(tmp_path / "m.gguf"))).tensors
    stored = gguf_tensors()
    for part, heads in (("q", HEADS), ("k", KV_HEADS)):
        found = source.read(f"model.layers.1.self_attn.{part}_proj.weight")
        assert np.array_equal(paired(found, heads), stored[f"blk.1.attn_{part}.weight"])
    v = source.read("model.layers.1.self_attn.v_proj.weight")
    assert np.array_equal(v, stored["blk.1.attn_v.weight"])


def test_biases_of_llama_get_their_order_back(tmp_path: Path) -> None:
    bias = np.arange(HEADS * HEAD_DIM, dtype=np.float32)
    extra = {f"blk.{b}.attn_q.bias": paired(bias, HEADS) for b in range(BLOCKS)}
    checkpoint = open_checkpoint(str(write_gguf(tmp_path / "m.gguf", extra=extra)))
    assert np.array_equal(checkpoint.tensors.read("model.layers.0.self_attn.q_proj.bias"), bias)
    assert checkpoint.config["attention_bias"] is True


def test_rows_of_the_others_are_as_stored(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", arch="qwen2")
    found = open_checkpoint(str(path)).tensors.read(HF_Q_NAME)
    assert np.array_equal(found, gguf_tensors()[Q_NAME])


def test_shapes_and_names(tmp_path: Path) -> None:
    source = open_checkpoint(str(write_gguf(tmp_path / "m.gguf"))).tensors
    assert len(source.tensors) == 2 + 9 * BLOCKS
    shapes = {name: info.shape for name, info in source.tensors.items()}
    assert shapes["model.embed_tokens.weight"] == (len(TOKENS), DIM)
    assert shapes["model.norm.weight"] == (DIM,)
    assert shapes["model.layers.0.mlp.down_proj.weight"] == (DIM, INNER)
    assert shapes["model.layers.1.self_attn.k_proj.weight"] == (KV_HEADS * HEAD_DIM, DIM)
    for name, shape in shapes.items():
        assert source.read(name).shape == shape


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_names_are_those_of_the_gguf_package(name: str) -> None:
    """Each Hugging Face name that the package maps to a tensor is the name that we map it to."""
    kind = ARCHITECTURES[name]
    table = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, name.upper()), 3)
    ours = [f"model.layers.2.{part}.weight" for part in kind.block_tensors.values()]
    ours += ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
    theirs = {table.get_name(hf, try_suffixes=(".weight", ".bias")): hf for hf in ours}
    assert len(theirs) == len(ours)
    for stored, hf in theirs.items():
        assert stored is not None
        assert kind.hf_name(stored) == hf
    tensors = gguf.MODEL_TENSORS[getattr(gguf.MODEL_ARCH, name.upper())]
    known = {gguf.TENSOR_NAMES[tensor].format(bid=2) + ".weight" for tensor in tensors}
    refused = {stored for stored in known if kind.hf_name(stored) is None}
    assert {stored.split(".")[-2].split("_")[0] for stored in refused} <= {"rope", "attn", "ffn"}
    assert all("exp" in s or "inp" in s or "rot" in s or "rope" in s for s in refused)


# ---- values -----------------------------------------------------------------------------------


def unpack_q4_1(data: bytes) -> list[float]:
    """Blocks of 32: a scale and a minimum in float16, then nibbles, the low ones first."""
    values: list[float] = []
    for start in range(0, len(data), 20):
        scale, low = struct.unpack_from("<2e", data, start)
        nibbles = data[start + 4 : start + 20]
        codes = [byte & 15 for byte in nibbles] + [byte >> 4 for byte in nibbles]
        values += [float(np.float32(scale) * code + np.float32(low)) for code in codes]
    return values


def unpack_q8_0(data: bytes) -> list[float]:
    """Blocks of 32: a scale in float16, then signed bytes."""
    values: list[float] = []
    for start in range(0, len(data), 34):
        (scale,) = struct.unpack_from("<e", data, start)
        codes = struct.unpack_from("<32b", data, start + 2)
        values += [float(np.float32(scale) * code) for code in codes]
    return values


@pytest.mark.parametrize(("kind", "unpack"), [(Kind.Q4_1, unpack_q4_1), (Kind.Q8_0, unpack_q8_0)])
def test_quantised_values(
    tmp_path: Path, kind: Kind, unpack: Callable[[bytes], list[float]]
) -> None:
    path = write_gguf(tmp_path / "m.gguf", kinds={UP_NAME: kind, Q_NAME: kind})
    source = open_checkpoint(str(path)).tensors
    for name, hf_name in ((UP_NAME, HF_UP_NAME), (Q_NAME, HF_Q_NAME)):
        found = source.read(hf_name)
        rows = paired(found, HEADS) if name == Q_NAME else found
        values = unpack(gguf.quantize(gguf_tensors()[name], kind).tobytes())
        assert source.tensors[hf_name].stored == kind.name
        assert found.dtype == source.tensors[hf_name].dtype == np.float32
        # The package rounds once more where a product and a sum follow each other.
        np.testing.assert_allclose(rows.ravel(), values, rtol=0, atol=2e-7)


@pytest.mark.parametrize(
    ("kind", "dtype"), [(Kind.F16, np.float16), (Kind.BF16, ml_dtypes.bfloat16)]
)
def test_half_precision_passes_through(tmp_path: Path, kind: Kind, dtype: type) -> None:
    path = write_gguf(tmp_path / "m.gguf", kinds={UP_NAME: kind, Q_NAME: kind})
    source = open_checkpoint(str(path)).tensors
    expected: NDArray[Any] = gguf_tensors()[UP_NAME].astype(dtype)
    assert source.tensors[HF_UP_NAME].dtype == dtype
    assert source.read(HF_UP_NAME).tobytes() == expected.tobytes()
    q = source.read(HF_Q_NAME)
    assert q.dtype == dtype
    stored = gguf_tensors()[Q_NAME].astype(dtype).astype(np.float32)
    assert np.array_equal(paired(q.astype(np.float32), HEADS), stored)


def test_reading_holds_little_beside_the_tensor(tmp_path: Path) -> None:
    big = np.zeros((1 << 14, 512), np.float32)
    extra = {"output.weight": big}
    path = write_gguf(tmp_path / "m.gguf", extra=extra, kinds={"output.weight": Kind.Q8_0})
    source = open_checkpoint(str(path)).tensors
    tracemalloc.start()
    try:
        assert source.read("lm_head.weight").shape == big.shape
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The result, the stored bytes (17 for 64) and one block with its temporaries.
    assert peak < big.nbytes * (1 + 17 / 64) + (12 << 20)


# ---- configuration ----------------------------------------------------------------------------


def test_config(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(write_gguf(tmp_path / "Tiny-1B-Chat.Q4_K_M.gguf")))
    assert checkpoint.name == "Tiny-1B-Chat"
    assert checkpoint.config == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": DIM,
        "intermediate_size": INNER,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": DIM // HEADS,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "vocab_size": len(TOKENS),
        "bos_token_id": None,
        "eos_token_id": 0,
    }


def test_untied_heads_and_their_width(tmp_path: Path) -> None:
    def hook(writer: gguf.GGUFWriter) -> None:
        writer.add_key_length(2 * HEAD_DIM)
        writer.add_value_length(2 * HEAD_DIM)
        writer.add_rope_dimension_count(2 * HEAD_DIM)

    extra = {"output.weight": np.ones((len(TOKENS), DIM), np.float32)}
    path = write_gguf(tmp_path / "m.gguf", arch="qwen3", extra=extra, hook=hook)
    config = open_checkpoint(str(path)).config
    assert (config["head_dim"], config["tie_word_embeddings"]) == (2 * HEAD_DIM, False)
    assert config["model_type"] == "qwen3"


def linear(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(2.5)


def yarn(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(8.0)
    writer.add_rope_scaling_orig_ctx_len(8192)


def yarn_in_full(writer: gguf.GGUFWriter) -> None:
    yarn(writer)
    writer.add_rope_scaling_yarn_attn_factor(1.2079)
    writer.add_rope_scaling_yarn_beta_fast(32.0)
    writer.add_rope_scaling_yarn_beta_slow(1.0)


YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.NONE), None),
        (linear, {"rope_type": "linear", "factor": 2.5}),
        (yarn, YARN),
        (yarn_in_full, YARN | {"attention_factor": 1.2079, "beta_fast": 32.0, "beta_slow": 1.0}),
    ],
)
def test_rope_scaling(tmp_path: Path, hook: Hook, expected: object) -> None:
    path = write_gguf(tmp_path / "m.gguf", hook=hook)
    assert open_checkpoint(str(path)).config["rope_scaling"] == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, ["sliding_attention", "sliding_attention"]),
        (2, ["sliding_attention", "full_attention"]),
        ([False, True], ["full_attention", "sliding_attention"]),
    ],
)
def test_olmo2_with_a_window_is_olmo3(
    tmp_path: Path, pattern: int | list[bool] | None, expected: list[str]
) -> None:
    def hook(writer: gguf.GGUFWriter) -> None:
        writer.add_sliding_window(64)
        if pattern is not None:
            writer.add_sliding_window_pattern(pattern)

    before = ("attn_norm.weight", "ffn_norm.weight")
    path = write_gguf(
        tmp_path / "m.gguf",
        arch="olmo2",
        hook=hook,
        without=[f"blk.{block}.{name}" for block in range(BLOCKS) for name in before],
    )
    config = open_checkpoint(str(path)).config
    assert (config["model_type"], config["architectures"]) == ("olmo3", ["Olmo3ForCausalLM"])
    assert (config["sliding_window"], config["layer_types"]) == (64, expected)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Qwen3-4B-UD-Q4_K_XL.gguf", "Qwen3-4B"),
        ("qwen2.5-0.5b-instruct-iq2_xxs.gguf", "qwen2.5-0.5b-instruct"),
        ("Llama-3.2-1B-BF16.gguf", "Llama-3.2-1B"),
        ("model-f32.gguf", "model"),
        ("OLMo-2-1124-7B.gguf", "OLMo-2-1124-7B"),
        ("Q4_0.gguf", "Q4_0"),
    ],
)
def test_the_model_is_called_as_its_file(file: str, name: str) -> None:
    assert model_name(Path(file)) == name


def test_provenance(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    provenance = json.loads(json.dumps(open_checkpoint(str(path)).provenance))
    assert provenance["general_name"] == "A run of July"
    assert provenance["files"]["m.gguf"]["bytes"] == path.stat().st_size
    other = write_gguf(tmp_path / "n.gguf", pre="gpt-2")
    changed = json.loads(json.dumps(open_checkpoint(str(other)).provenance))
    assert changed["tokenizer_sha256"] != provenance["tokenizer_sha256"]
    assert changed["chat_template_sha256"] == provenance["chat_template_sha256"]
    first, second = provenance["files"]["m.gguf"], changed["files"]["n.gguf"]
    assert first["header_sha256"] != second["header_sha256"]


def test_metadata_are_those_that_the_package_reads(tmp_path: Path) -> None:
    def hook(writer: gguf.GGUFWriter) -> None:
        writer.add_float64("x.double", 0.1)
        writer.add_int8("x.byte", -3)
        writer.add_uint64("x.long", 2**63)
        writer.add_bool("x.flag", True)
        writer.add_array("x.numbers", [1, 2, 3])
        writer.add_string("x.text", "Ġ🦙")

    path = write_gguf(tmp_path / "m.gguf", hook=hook)
    ours = dict(read_gguf_header(path).metadata)
    theirs = {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items()}
    assert set(ours) == {key for key in theirs if not key.startswith("GGUF.")}
    for key, value in ours.items():
        assert type(value) is type(theirs[key])
        # float32 values are read as the shortest decimal, theirs as the double beside it.
        assert value == (pytest.approx(theirs[key]) if isinstance(value, float) else theirs[key])
    assert ours["llama.attention.layer_norm_rms_epsilon"] == 1e-5


# ---- faults -----------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, object], type[errors.InputError], str]] = [
    ({"arch": "phi3"}, weight_errors.UnsupportedArchitectureError, "architecture 'phi3'"),
    (
        {"hook": lambda w: w.add_expert_count(8)},
        weight_errors.UnsupportedArchitectureError,
        "llama.expert_count = 8, which this reader does not know",
    ),
    (
        {"hook": lambda w: w.add_sliding_window(64)},
        weight_errors.UnsupportedArchitectureError,
        "llama.attention.sliding_window = 64",
    ),
    (
        {"hook": lambda w: w.add_rope_dimension_count(HEAD_DIM // 2)},
        weight_errors.UnsupportedArchitectureError,
        "rope.dimension_count is 8 and heads are 16 wide",
    ),
    (
        {"hook": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)},
        weight_errors.UnsupportedArchitectureError,
        "'longrope'; linear and yarn are read",
    ),
    (
        {"hook": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)},
        errors.MissingFieldError,
        "no field 'rope.scaling.factor'",
    ),
    (
        {"hook": lambda w: w.add_rope_scaling_yarn_ext_factor(0.5)},
        weight_errors.UnsupportedArchitectureError,
        "yarn_ext_factor = 0.5",
    ),
    (
        {"extra": {"rope_freqs.weight": np.ones(8, np.float32)}},
        weight_errors.UnsupportedTensorError,
        "rotary frequencies scaled one by one",
    ),
    (
        {"extra": {"blk.0.attn_q_norm.weight": np.ones(8, np.float32)}},
        weight_errors.UnsupportedTensorError,
        "1 tensors that a llama model has not: 'blk.0.attn_q_norm.weight'",
    ),
    (
        {"extra": {"output.weight": np.ones((8, 8), np.int8)}},
        weight_errors.WeightDtypeError,
        "1 tensors are stored as I8, .* such as 'output.weight'",
    ),
    (
        {"hook": lambda w: w.add_uint32("general.alignment", 48)},
        weight_errors.GgufHeaderError,
        "general.alignment is 48; expected a power of two",
    ),
    ({"without": ["token_embd.weight"]}, errors.MissingFieldError, "token_embd.weight"),
    ({"hook": lambda w: w.add_uint16("split.count", 3)}, weight_errors.SplitGgufError, "of 3 file"),
    (
        {"hook": lambda w: w.add_float32("x.y", float("nan"))},
        weight_errors.GgufHeaderError,
        "metadata 'x.y' is nan",
    ),
    (
        {"hook": lambda w: w.add_bos_token_id(99)},
        errors.FieldValueError,
        "bos_token_id is 99; expected one of the 9 tokens",
    ),
]


@pytest.mark.parametrize(("options", "error", "text"), REFUSED)
def test_refuses(
    tmp_path: Path, options: dict[str, object], error: type[errors.InputError], text: str
) -> None:
    path = write_gguf(tmp_path / "m.gguf", **options)  # type: ignore[arg-type]
    with pytest.raises(error, match=text) as caught:
        open_checkpoint(str(path))
    assert str(path) in str(caught.value)


def test_a_window_with_a_pattern_of_another_length(tmp_path: Path) -> None:
    def hook(writer: gguf.GGUFWriter) -> None:
        writer.add_sliding_window(64)
        writer.add_sliding_window_pattern([True])

    before = [f"blk.{b}.{n}.weight" for b in range(BLOCKS) for n in ("attn_norm", "ffn_norm")]
    path = write_gguf(tmp_path / "m.gguf", arch="olmo2", hook=hook, without=before)
    with pytest.raises(errors.FieldValueError, match="an array of 1; expected true or false for"):
        open_checkpoint(str(path))


def patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))
    return path


DAMAGED: list[tuple[bytes, bytes, type[errors.InputError], str]] = [
    (b"GGUF\x03", b"GGML\x03", weight_errors.NotGgufError, "begins with b'GGML'"),
    (b"GGUF\x03\0\0\0", b"GGUF\x01\0\0\0", weight_errors.GgufVersionError, "0x1; expected vers"),
    (b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03", weight_errors.GgufVersionError, "in big-endian order"),
    (b"llama.block_count", b"llama\xffblock_count", weight_errors.GgufHeaderError, "is not UTF-8"),
    (
        b"llama.context_length",
        b"general.architecture",
        weight_errors.GgufHeaderError,
        "have the key 'general.architecture' twice",
    ),
    (
        b"llama.block_count\x04\0\0\0",
        b"llama.block_count\x0d\0\0\0",
        weight_errors.GgufHeaderError,
        "'llama.block_count' is of type 13",
    ),
    (
        b"blk.0.attn_v.weight",
        b"blk.1.attn_v.weight",
        weight_errors.GgufHeaderError,
        "two tensors have one name",
    ),
    (
        b"output_norm.weight\x01",
        b"output_norm.weight\x09",
        weight_errors.GgufHeaderError,
        "'output_norm.weight' has 9 dimensions",
    ),
    (
        b"token_embd.weight\x02\0\0\0\x40",
        b"token_embd.weight\x02\0\0\0\xff",
        weight_errors.GgufHeaderError,
        "'output_norm.weight' begins inside tensor 'token_embd.weight'",
    ),
    (
        b"token_embd.weight\x02\0\0\0\x40\0\0\0",
        b"token_embd.weight\x02\0\0\0\x40\0\0\x01",
        weight_errors.TruncatedGgufError,
        "tensor 'token_embd.weight' ends at byte 603,",
    ),
    (
        b"output_norm.weight\x01\0\0\0\x40" + b"\0" * 7 + b"\0",
        b"output_norm.weight\x01\0\0\0\x40" + b"\0" * 7 + b"\xc8",
        weight_errors.GgufHeaderError,
        "'output_norm.weight' is of type 200, which the gguf package lacks",
    ),
]


@pytest.mark.parametrize(("old", "new", "error", "text"), DAMAGED)
def test_damaged_headers(
    tmp_path: Path, old: bytes, new: bytes, error: type[errors.InputError], text: str
) -> None:
    path = patched(write_gguf(tmp_path / "m.gguf"), old, new)
    with pytest.raises(error, match=text) as caught:
        open_checkpoint(str(path))
    assert str(path) in str(caught.value)


def test_rows_that_are_no_whole_blocks(tmp_path: Path) -> None:
    extra = {"output.weight": np.ones((3, 65), np.float32)}
    path = write_gguf(tmp_path / "m.gguf", extra=extra)
    before = b"output.weight\x02\0\0\0\x41" + b"\0" * 7 + b"\x03" + b"\0" * 7
    patched(path, before + b"\0", before + bytes([Kind.Q8_0]))
    with pytest.raises(weight_errors.GgufHeaderError, match="rows of 65 values; Q8_0 stores blo"):
        open_checkpoint(str(path))


def test_cut_anywhere_is_an_error_of_ours(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(0, 1600, 7), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises((weight_errors.TruncatedGgufError, weight_errors.NotGgufError)):
            open_checkpoint(str(path))


def test_lengths_that_lie_allocate_nothing(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    name = b"general.name\x08\0\0\0"
    data = path.read_bytes()
    at = data.index(name) + len(name)
    path.write_bytes(data[:at] + (2**62).to_bytes(8, "little") + data[at + 8 :])
    with pytest.raises(weight_errors.TruncatedGgufError, match="its header goes on to byte 4,6"):
        open_checkpoint(str(path))


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
    with pytest.raises(errors.GitLfsPointerError, match="git lfs pull"):
        open_checkpoint(str(path))


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    source = open_checkpoint(str(path)).tensors
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(errors.ShardChangedError, match="changed after it was opened"):
        source.read(HF_UP_NAME)
