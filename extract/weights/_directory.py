"""A local directory as Hugging Face's libraries write it, or as the hub's cache holds it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from extract.weights._sampled import file_identity
from extract.weights._shards import open_source, stored_files
from extract.weights._texts import hashes, read_texts
from extract.weights._types import Checkpoint
from extract.weights.errors import NotAModelError
from spectra.artifacts.header import SafetensorsHeader
from spectra.files import read_capped
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON, JSONObject, loads

CONFIG_NAME = "config.json"

_LARGEST_CONFIG = 16 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a directory came from: a repository of the hub at a commit, or neither."""

    repository: str | None = None
    revision: str | None = None


def open_directory(path: Path, origin: Origin) -> Checkpoint:
    """The model in the directory `path`.

    Raises `NotAModelError` where there is no config.json, and what `stored_files`, `open_source`,
    `read_texts` and `spectra.strict_json` raise.
    """
    where = path / CONFIG_NAME
    if not os.path.lexists(where):
        raise _no_config(path, origin)
    content = read_capped(where, _LARGEST_CONFIG)
    config = Fields.of(loads(content, where=str(where)), str(where)).fields
    files = stored_files(path, _fetch_command(path, origin))
    texts = read_texts(path)
    provenance: JSONObject = {
        "source": "directory" if origin.repository is None else "hub",
        "repository": origin.repository,
        "revision": origin.revision,
        "config_sha256": hashlib.sha256(content).hexdigest(),
        "files": _identity(files),
        **hashes(texts),
    }
    return Checkpoint(
        name=origin.repository or path.resolve().name,
        config=config,
        config_where=str(where),
        tensors=open_source(files, _quantization(config)),
        provenance=provenance,
        load_tokenizer=texts.tokenizer,
    )


def origin_of(path: Path) -> Origin:
    """What the path of a snapshot in the hub's cache says; nothing for any other path.

    The cache keeps a snapshot at models--<owner>--<name>/snapshots/<commit>.
    """
    parts = path.resolve().parts[-3:]
    if len(parts) == 3 and parts[0].startswith("models--") and parts[1] == "snapshots":
        return Origin(parts[0].removeprefix("models--").replace("--", "/"), parts[2])
    return Origin()


def _identity(files: tuple[SafetensorsHeader, ...]) -> dict[str, JSON]:
    return {
        file.path.name: file_identity(file.path, file.identity[2], file.sha256) for file in files
    }


def _quantization(config: JSONObject) -> str | None:
    settings = config.get("quantization_config")
    return show(settings.get("quant_method")) if isinstance(settings, dict) else None


def _fetch_command(path: Path, origin: Origin) -> str:
    if origin.repository is None:
        return f"hf download <owner>/<name> {{files}} --local-dir {_literal(str(path))}"
    return f"hf download {origin.repository} {{files}} --revision {origin.revision}"


def _literal(text: str) -> str:
    """`text` as `str.format` gives it back."""
    return text.replace("{", "{{").replace("}", "}}")


def _no_config(path: Path, origin: Origin) -> NotAModelError:
    names = sorted(os.listdir(path)) if path.is_dir() else []
    ggufs = [name for name in names if name.endswith(".gguf")]
    if ggufs:
        advice = f"It has GGUF files: name the file itself, such as {path / ggufs[0]}."
    elif "adapter_config.json" in names:
        advice = "It holds an adapter: merge it into its base model and save the whole."
    elif origin.repository:
        advice = (
            "Expected a model as transformers saves it. If it is one of llama.cpp's, fetch "
            f"its GGUF file with `hf download {origin.repository} <file>` and give the path."
        )
    else:
        advice = "Expected a Hugging Face model directory: check the path, or fetch the files."
    of = f" ({origin.repository} at {origin.revision})" if origin.repository else ""
    return NotAModelError(f"{path}{of} has no {CONFIG_NAME}. {advice}")
