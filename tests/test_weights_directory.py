"""Hugging Face directories: the tensors are the file's, and each fault has its own error."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from extract.weights import errors as weight_errors
from extract.weights import open_checkpoint
from extract.weights._sampled import sampled_sha256
from extract.weights._texts import read_texts
from spectra import errors
from tests.weight_files import PARTS, TEMPLATE, tensors, write_json, write_model

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize("parts", [None, PARTS])
def test_tensors_are_the_files(tmp_path: Path, parts: tuple[tuple[str, ...], ...] | None) -> None:
    source = open_checkpoint(str(write_model(tmp_path / "m", parts=parts))).tensors
    expected = tensors()
    assert set(source.tensors) == set(expected)
    for name, values in expected.items():
        info, found = source.tensors[name], source.read(name)
        assert (info.shape, info.dtype) == (values.shape, values.dtype)
        assert (found.shape, found.dtype) == (values.shape, values.dtype)
        assert found.tobytes() == values.tobytes()
        assert source.read(name) is not found
    assert [source.tensors[n].stored for n in ("a.weight", "b.weight", "c.weight")] == [
        "BF16",
        "F16",
        "F32",
    ]


def test_one_file_wins_over_an_index(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", parts=PARTS)
    save_file({"other": np.zeros(3, np.float32)}, path / "model.safetensors")
    assert list(open_checkpoint(str(path)).tensors.tensors) == ["other"]


def test_files_beside_the_index_are_not_read(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", parts=PARTS)
    save_file({"a.weight": np.zeros(3, np.float32)}, path / "consolidated.safetensors")
    assert set(open_checkpoint(str(path)).tensors.tensors) == set(tensors())


def test_reading_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    one = 1 << 20
    values = {f"t{n}": np.full(one, n, np.float32) for n in range(8)}
    save_file(values, path / "model.safetensors")
    source = open_checkpoint(str(path)).tensors
    tracemalloc.start()
    try:
        for n in range(8):
            assert source.read(f"t{n}")[-1] == n
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * 4 * one


def test_name_config_and_provenance(tmp_path: Path) -> None:
    path = write_model(tmp_path / "Tiny-1B", parts=PARTS)
    checkpoint = open_checkpoint(str(path))
    assert checkpoint.name == "Tiny-1B"
    assert checkpoint.config == {"model_type": "llama", "hidden_size": 8}
    assert checkpoint.config_where == str(path / "config.json")
    provenance = json.loads(json.dumps(checkpoint.provenance))
    file = (path / FIRST).read_bytes()
    header = file[8 : 8 + int.from_bytes(file[:8], "little")]
    assert list(provenance["files"]) == [FIRST, SECOND]
    assert provenance["files"][FIRST] == {
        "bytes": len(file),
        "header_sha256": hashlib.sha256(header).hexdigest(),
        "sampled_sha256": hashlib.sha256(file).hexdigest(),
    }
    tokenizer = hashlib.sha256((path / "tokenizer.json").read_bytes()).hexdigest()
    assert provenance["tokenizer_sha256"] == tokenizer
    assert provenance["chat_template_sha256"] == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert (provenance["source"], provenance["revision"]) == ("directory", None)


def test_large_files_are_told_apart_by_blocks_from_end_to_end(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(256, size=5_000_000, dtype=np.uint8)
    (tmp_path / "a").write_bytes(values.tobytes())
    digest = sampled_sha256(tmp_path / "a", len(values))
    reach = len(values) // 256 + 1  # no stretch as long as this, without a block in it
    for place in (0, len(values) - 1, slice(reach), slice(2_000_000, 2_000_000 + reach)):
        other = values.copy()
        other[place] ^= 1
        (tmp_path / "b").write_bytes(other.tobytes())
        assert sampled_sha256(tmp_path / "b", len(values)) != digest
    with pytest.raises(errors.ShardChangedError, match="expected 1 more"):
        sampled_sha256(tmp_path / "a", len(values) + 1)


def test_a_snapshot_of_the_hubs_cache_is_known_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "models--owner--Tiny-1B" / "snapshots" / ("ab" * 20)
    checkpoint = open_checkpoint(str(write_model(path)))
    assert checkpoint.name == "owner/Tiny-1B"
    assert (checkpoint.provenance["source"], checkpoint.provenance["revision"]) == (
        "hub",
        "ab" * 20,
    )


# ---- faults -----------------------------------------------------------------------------------


def edit_map(change: Callable[[dict[str, str]], object]) -> Callable[[Path], object]:
    def work(path: Path) -> None:
        document = json.loads((path / INDEX).read_text())
        change(document["weight_map"])
        write_json(path / INDEX, document)

    return work


def cut(path: Path) -> None:
    os.truncate(path / SECOND, (path / SECOND).stat().st_size - 3)


def lose_both(path: Path) -> None:
    (path / FIRST).unlink()
    (path / SECOND).unlink()


def lose_weights(path: Path) -> None:
    (path / INDEX).unlink()
    (path / "pytorch_model.bin").write_bytes(b"")


def make_pointer(path: Path) -> None:
    (path / FIRST).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")


def quantise(path: Path) -> None:
    save_file({"a.weight": np.zeros(24, np.uint8), "scale": tensors()["scale"]}, path / FIRST)
    write_json(path / "config.json", {"quantization_config": {"quant_method": "bitsandbytes"}})


def lose_config(path: Path) -> None:
    (path / "config.json").unlink()


def leave_gguf(path: Path) -> None:
    lose_config(path)
    (path / "tiny.gguf").write_bytes(b"GGUF")


def leave_adapter(path: Path) -> None:
    lose_config(path)
    write_json(path / "adapter_config.json", {})


FAULTS: list[tuple[Callable[[Path], object], type[errors.SpectraError], str]] = [
    (lose_both, errors.MissingShardsError, rf"2 of the 2 files .*{FIRST}, {SECOND}.*\n  hf down"),
    (lose_weights, weight_errors.MissingWeightsError, "neither .* pytorch_model.bin: pickled"),
    (lose_config, weight_errors.NotAModelError, r"no config.json. Expected a Hugging Face"),
    (leave_gguf, weight_errors.NotAModelError, r"name the file itself, such as .*/tiny\.gguf"),
    (leave_adapter, weight_errors.NotAModelError, "merge it into its base model"),
    (cut, errors.TruncatedShardError, "is cut short"),
    (make_pointer, errors.GitLfsPointerError, "git lfs pull"),
    (quantise, weight_errors.WeightDtypeError, r"1 tensors .* U8 \(.*'bitsandbytes'\): 'a.weight'"),
    (
        edit_map(lambda names: names.update(ghost=FIRST)),
        weight_errors.WeightMapError,
        "lacks 1 tensors .* says it has: 'ghost'",
    ),
    (
        edit_map(lambda names: names.pop("scale")),
        weight_errors.WeightMapError,
        "has 1 tensors .* does not list for it: 'scale'",
    ),
    (edit_map(dict.clear), weight_errors.WeightMapError, "weight_map is empty"),
    (
        edit_map(lambda names: names.update(scale=3)),  # type: ignore[call-overload]
        errors.FieldTypeError,
        "scale is 3; expected a string",
    ),
    (lambda path: write_json(path / INDEX, {}), errors.MissingFieldError, "no field 'weight_map'"),
    (lambda path: write_json(path / INDEX, []), errors.FieldTypeError, "expected an object"),
    (lambda path: write_json(path / "config.json", []), errors.FieldTypeError, "an object"),
    (
        lambda path: (path / "config.json").write_text('{"a": 1, "a": 2}'),
        errors.JsonDuplicateKeyError,
        "2 times",
    ),
]


@pytest.mark.parametrize(("fault", "error", "text"), FAULTS)
def test_faults(
    tmp_path: Path,
    fault: Callable[[Path], object],
    error: type[errors.SpectraError],
    text: str,
) -> None:
    path = write_model(tmp_path / "m", parts=PARTS)
    fault(path)
    with pytest.raises(error, match=f"(?s){text}") as caught:
        open_checkpoint(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../evil.safetensors", "/etc/passwd", "..", "a\\b", "a\0b", "C:x"]
)
def test_shards_stay_in_the_directory(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path / "m", parts=PARTS)
    edit_map(lambda names: names.update(scale=name))(path)
    with pytest.raises(errors.ShardNameError, match="does not name a file in the same directory"):
        open_checkpoint(str(path))


@pytest.mark.parametrize("braces", ["m", "{0}", "{files}{"])
def test_the_command_that_fetches_names_the_files(tmp_path: Path, braces: str) -> None:
    path = write_model(tmp_path / braces, parts=PARTS)
    (path / SECOND).unlink()
    with pytest.raises(errors.MissingShardsError) as caught:
        open_checkpoint(str(path))
    command = str(caught.value).splitlines()[-1].strip()
    assert command == f"hf download <owner>/<name> {SECOND} --local-dir {path}"


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    source = open_checkpoint(str(path)).tensors
    save_file(tensors(seed=1), path / "model.safetensors", {"format": "pt"})
    with pytest.raises(errors.ShardChangedError, match=r"model\.safetensors changed"):
        source.read("a.weight")
    (path / "model.safetensors").unlink()
    with pytest.raises(errors.UnreadableFileError, match="cannot be read"):
        source.read("a.weight")


@pytest.mark.parametrize(
    "model", ["", "./absent", "/absent", "a/b/c", "~/m", "m.gguf", "a b", "-x"]
)
def test_what_is_nothing(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(weight_errors.ModelNotFoundError, match="does not exist") as caught:
        open_checkpoint(model)
    assert "<owner>/<name>" in str(caught.value)


def test_what_is_no_model(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    with pytest.raises(weight_errors.NotAModelError, match=r"Expected a GGUF file or the dir"):
        open_checkpoint(str(path / "model.safetensors"))


def test_a_revision_is_the_hubs(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    with pytest.raises(weight_errors.RevisionNotApplicableError, match="local path") as caught:
        open_checkpoint(str(path), revision="main")
    assert caught.value.exit_code == 2


# ---- the small files --------------------------------------------------------------------------


def test_special_tokens_are_text_or_objects(tmp_path: Path) -> None:
    write_json(
        tmp_path / "tokenizer_config.json",
        {
            "bos_token": {"content": "<s>", "lstrip": False},
            "eos_token": "</s>",
            "pad_token": None,
            "add_bos_token": True,
            "model_max_length": 10**30,
        },
    )
    write_json(tmp_path / "special_tokens_map.json", {"eos_token": "<old>", "unk_token": "<unk>"})
    assert read_texts(tmp_path).special_tokens == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }


NAMED = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]


@pytest.mark.parametrize(
    ("in_config", "in_file", "expected"),
    [
        (None, None, None),
        ("C", None, "C"),
        ("C", "F", "F"),
        (NAMED, None, "D"),
        (NAMED[:1], None, None),
    ],
)
def test_chat_template(
    tmp_path: Path, in_config: object, in_file: str | None, expected: str | None
) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": in_config})
    if in_file is not None:
        (tmp_path / "chat_template.jinja").write_text(in_file)
    assert read_texts(tmp_path).chat_template == expected


def test_faults_of_the_small_files(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": 3})
    with pytest.raises(errors.FieldTypeError, match="chat_template is 3; expected text or an arr"):
        read_texts(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"bos_token": {"text": "<s>"}})
    with pytest.raises(errors.MissingFieldError, match="bos_token has no field 'content'"):
        read_texts(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {})
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(weight_errors.ChatTemplateFileError, match="byte 0 is not UTF-8"):
        read_texts(tmp_path)


def test_weights_need_no_tokenizer_until_it_is_asked_for(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).unlink()
    checkpoint = open_checkpoint(str(path))
    assert checkpoint.provenance["tokenizer_sha256"] is None
    with pytest.raises(weight_errors.MissingTokenizerError, match=r"has no tokenizer\.json"):
        checkpoint.tokenizer()
