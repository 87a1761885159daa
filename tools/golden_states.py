"""Write tests/golden/*.safetensors: what transformers computes for the tiny random decoders.

    python tools/golden_states.py

in an environment with torch, transformers and safetensors. Which file is written depends on the
transformers that is found, because versions differ in Olmo 3's rotary frequencies:

- 5.13 or newer: decoder.safetensors, every case of tests/decoder_cases.py (made with 5.23.0);
- 5.0 to 5.12: all_layers.safetensors, the cases that those versions compute otherwise (transformers
  issue 45945; made with 5.12.1).

A file holds float32 states [T, d] of a case's first sequence: "case/0" to "case/L" are raw, 0 being
the embeddings, and "case/norm" is the last one after the final norm. Its metadata has the versions.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.decoder_cases import ALL_LAYERS, CASES, token_ids, weights  # noqa: E402


def states(case: str, config: dict) -> dict[str, np.ndarray]:
    """The states of one case by layer."""
    with tempfile.TemporaryDirectory() as directory:
        # Read as a file is, so that a transformers 4 config is translated as one.
        (Path(directory) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        parsed = transformers.AutoConfig.from_pretrained(directory)
    model = transformers.AutoModel.from_config(parsed, attn_implementation="eager").eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    values = {name: torch.tensor(value) for name, value in weights(shapes).items()}
    model.load_state_dict(values, strict=True)
    raw: list[torch.Tensor] = []
    model.norm.register_forward_pre_hook(lambda module, inputs: raw.append(inputs[0]))
    with torch.no_grad():
        kept = model(torch.tensor(token_ids(case)), output_hidden_states=True).hidden_states
    found = {str(layer): value for layer, value in enumerate((*kept[:-1], raw[0]))}
    found["norm"] = kept[-1]
    return {f"{case}/{layer}": value[0].contiguous().numpy() for layer, value in found.items()}


def main() -> None:
    """Choose the file by the version, and write it."""
    major, minor = map(int, transformers.__version__.split(".")[:2])
    if major != 5:
        sys.exit(f"transformers {transformers.__version__} reads no config of version 5; take 5.x")
    name, cases = ("decoder", CASES) if minor >= 13 else ("all_layers", ALL_LAYERS)
    tensors = {}
    for case, config in cases.items():
        tensors |= states(case, config)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    path = ROOT / "tests" / "golden" / f"{name}.safetensors"
    save_file(tensors, path, versions)
    sys.stdout.write(f"{path.relative_to(ROOT)}: {len(cases)} cases, {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
