"""From a GGUF file to a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from extract.weights._sampled import file_identity
from extract.weights._texts import text_sha256
from extract.weights._types import Checkpoint
from extract.weights.errors import SplitGgufError
from extract.weights.gguf._config import architecture, build_config
from extract.weights.gguf._header import GgufHeader, read_gguf_header
from extract.weights.gguf._source import GgufSource, hf_tensors
from extract.weights.gguf._tokenizer import read_gguf_texts
from spectra.json_fields import Fields
from spectra.strict_json import JSONObject

_ENCODING = re.compile(r"[-.](?:UD-)?(?:I?Q\d\w*|TQ\d\w*|MXFP\d\w*|B?F16|FP16|F?P?32)", re.I)
"""How a file's name says how it is quantised, at its end."""


def open_gguf(path: Path) -> Checkpoint:
    """The model in the GGUF file `path`.

    It is called by the file's name less its ending and its quantisation, which by llama.cpp's
    convention is the model's own ("SmolLM2-135M-Instruct"); `general.name` is often a training
    run's, and goes into the provenance.

    Raises what `read_gguf_header`, `architecture`, `hf_tensors`, `build_config` and
    `read_gguf_texts` raise, and `SplitGgufError`.
    """
    header = read_gguf_header(path)
    _refuse_split(header)
    kind = architecture(header)
    tensors = hf_tensors(header, kind)
    config = build_config(header, tensors)
    texts = read_gguf_texts(header)
    counts = Fields(config, str(path))
    provenance: JSONObject = {
        "source": "gguf",
        "general_name": header.metadata.get("general.name"),
        "files": {path.name: file_identity(path, header.identity[2], header.sha256)},
        "tokenizer_sha256": texts.sha256,
        "chat_template_sha256": text_sha256(texts.chat_template),
    }
    return Checkpoint(
        name=model_name(path),
        config=config,
        config_where=f"{path}: metadata",
        tensors=GgufSource(
            header,
            tensors,
            heads=counts.integer("num_attention_heads"),
            kv_heads=counts.integer("num_key_value_heads"),
            interleaved=kind.interleaved,
        ),
        provenance=provenance,
        load_tokenizer=texts.tokenizer,
    )


def model_name(path: Path) -> str:
    """The model's name in that of its file."""
    stem = path.stem
    ending = next((m for m in _ENCODING.finditer(stem) if m.end() == len(stem)), None)
    return (stem[: ending.start()] if ending else stem) or stem


def _refuse_split(header: GgufHeader) -> None:
    count = header.metadata.get("split.count")
    if isinstance(count, int) and count > 1:
        raise SplitGgufError(
            f"{header.path} is one of {count} files of a model. Join them with llama.cpp: "
            "llama-gguf-split --merge <first file> <whole file>, and give the whole."
        )
