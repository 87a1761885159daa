"""Input that is small to write and would be large to read, to search or to tell of.

Each was found by damaging valid files at random (`tests.mutation`) or by a fuzzer (`tests.fuzz`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extract.decoder.errors import WeightsMismatchError
from extract.decoder.families import spec_of
from extract.decoder.load import check_tensors
from extract.traces.errors import StepSpanError
from extract.weights import open_checkpoint
from extract.weights.errors import GgufHeaderError, TruncatedGgufError
from spectra import strict_json
from spectra.artifacts.header import read_tensors
from spectra.categories import IDENTITY
from spectra.errors import (
    FieldValueError,
    JsonDuplicateKeyError,
    MissingFieldError,
    ShardHeaderError,
    ShardNameError,
    SpectraError,
)
from spectra.grouping import Steps
from spectra.json_fields import Fields
from tests.artifact_files import safetensors_bytes, step
from tests.decoder_cases import CASES
from tests.decoder_models import tensors
from tests.trace_lines import line, trace_of
from tests.weight_files import PARTS, write_gguf, write_model

LONG = "x" * 1_000_000


@contextmanager
def refused(error: type[SpectraError], text: str, *, seconds: float = 10.0) -> Iterator[None]:
    """In a moment and in few words."""
    begin = time.perf_counter()
    with pytest.raises(error, match=text) as caught:
        yield
    assert len(str(caught.value)) < 2500
    assert time.perf_counter() - begin < seconds


def test_one_key_twice_among_very_many() -> None:
    keys = [*map(str, range(100_000)), "99999"]
    text = "{" + ", ".join(f'"{key}": 0' for key in keys) + "}"
    with refused(JsonDuplicateKeyError, "the key '99999' 2 times"):
        strict_json.loads(text.encode(), where="here")


def test_a_long_key_is_not_repeated() -> None:
    with refused(JsonDuplicateKeyError, "the key 'x*'… 2 times"):
        strict_json.loads(f'{{"{LONG}": 0, "{LONG}": 0}}'.encode(), where="here")
    with refused(MissingFieldError, "has no field 'a'; it has 'x*…, 'y'"):
        Fields({LONG: 0, "y": 0}, "here").get("a")


def test_an_integer_beyond_the_doubles_is_no_number() -> None:
    with refused(FieldValueError, "a is 9*…; expected a number above 0"):
        Fields({"a": 10**400 - 1}, "here").number("a")


@pytest.mark.parametrize("shape", [[10**4000] * 2, [1] * 100_000, [2**53 + 1]])
def test_shapes_that_no_file_has(tmp_path: Path, shape: list[int]) -> None:
    path = tmp_path / "a.safetensors"
    entry = {"dtype": "BF16", "shape": shape, "data_offsets": [0, 2]}
    path.write_bytes(safetensors_bytes({"hidden_states": entry}, b"\0\0"))
    with refused(ShardHeaderError, "shape is .* at most 64 of them"):
        read_tensors(path)


def test_very_many_labels_are_grouped_at_once() -> None:
    steps = [step(0, 0, 1, None, str(number)) for number in range(50_000)]
    begin = time.perf_counter()
    made = Steps.of([SimpleNamespace(steps=steps)], IDENTITY)
    assert time.perf_counter() - begin < 10
    assert len(made.categories) == 50_000
    assert [made.categories[code] for code in made.category[:3]] == ["0", "1", "2"]


def test_a_span_of_many_digits() -> None:
    steps = [{"char_start": 0, "char_end": 10**4000}]
    with refused(StepSpanError, "spans characters"):
        trace_of(line(steps=steps))


# ---- models -------------------------------------------------------------------------------------


def test_thousands_of_layers_are_refused_without_building_them() -> None:
    config = CASES["qwen3-v4"]
    spec = spec_of({**config, "num_hidden_layers": 4096}, "config.json")
    with refused(WeightsMismatchError, "missing: 45,?012"):
        check_tensors(spec, tensors(config))


@pytest.mark.parametrize(
    "fields",
    [
        {"beta_fast": 1e308},
        {"factor": 1e-320},
        {"factor": 1e300, "attention_factor": 1e300},
        {"original_max_position_embeddings": 1, "beta_slow": 5e-324},
    ],
)
def test_rotary_settings_without_a_finite_frequency(fields: dict[str, Any]) -> None:
    rope = {"rope_type": "yarn", "original_max_position_embeddings": 64, "factor": 4.0, **fields}
    with refused(FieldValueError, "settings of yarn give rotary frequencies"):
        spec_of({**CASES["llama-v4"], "rope_scaling": rope}, "config.json")


@pytest.mark.parametrize("name", ["x" * 256, "a\ud800", "a\0b"])
def test_weights_of_a_name_that_no_file_has(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, parts=PARTS) / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a.weight": name}}))
    with refused(ShardNameError, "does not name a file in the same directory"):
        open_checkpoint(str(tmp_path))


def metadata(key: str, value: int) -> Callable[[Any], object]:
    return lambda writer: writer.add_uint64(key, value)


@pytest.mark.parametrize("alignment", [1 << 40, 1 << 63])
def test_an_alignment_larger_than_the_file(tmp_path: Path, alignment: int) -> None:
    path = tmp_path / "tiny.gguf"
    hook = metadata("general.alignmens", alignment)
    path.write_bytes(write_gguf(path, hook=hook).read_bytes().replace(b"alignmens", b"alignment"))
    with refused(TruncatedGgufError, "cut short"):
        open_checkpoint(str(path))


def test_a_block_count_that_no_model_has(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    data = write_gguf(path).read_bytes()
    place = data.index(b"llama.block_count") + len(b"llama.block_count") + 4
    path.write_bytes(data[:place] + (2**31).to_bytes(4, "little") + data[place + 4 :])
    with refused(FieldValueError, "block_count is 2147483648; expected an integer from 1 to 4096"):
        open_checkpoint(str(path))


def test_a_long_key_of_metadata_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    key = LONG.encode()
    pair = len(key).to_bytes(8, "little") + key + (4).to_bytes(4, "little") + bytes(4)
    head = b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (2).to_bytes(8, "little")
    path.write_bytes(head + pair + pair)
    with refused(GgufHeaderError, "the metadata have the key 'x*… twice"):
        open_checkpoint(str(path))
