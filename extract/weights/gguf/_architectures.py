"""The architectures of GGUF that are read, and their names and settings.

Each stands here because it was checked against the gguf package's own table of tensor names (a
test repeats that) and against how llama.cpp rotates: it computes `llama` on interleaved pairs, so
its converter stores the rows of q and k in that order; `qwen2`, `qwen3` and `olmo2` on halves, as
transformers does, with the rows as they were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PER_BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NORM_BEFORE = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_NORM_AFTER = {
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_QK_NORM = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_BLOCK = re.compile(r"blk\.(\d{1,6})\.(\w+)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture: transformers' names for it, its tensors within a block, its order of rows.

    `interleaved` says that the rows of q and k are stored in llama.cpp's order.
    """

    model_type: str
    class_name: str
    block_tensors: Mapping[str, str]
    interleaved: bool = False

    def hf_name(self, name: str) -> str | None:
        """Hugging Face's name of the tensor that GGUF calls `name`; None if there is none."""
        match = _BLOCK.fullmatch(name)
        if match:
            part = self.block_tensors.get(match[2])
            return part and f"model.layers.{match[1]}.{part}.{match[3]}"
        stem, _, kind = name.rpartition(".")
        return f"{_WHOLE[stem]}.{kind}" if stem in _WHOLE and kind == "weight" else None


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", "LlamaForCausalLM", _PER_BLOCK | _NORM_BEFORE, interleaved=True),
    "qwen2": Architecture("qwen2", "Qwen2ForCausalLM", _PER_BLOCK | _NORM_BEFORE),
    "qwen3": Architecture("qwen3", "Qwen3ForCausalLM", _PER_BLOCK | _NORM_BEFORE | _QK_NORM),
    "olmo2": Architecture("olmo2", "Olmo2ForCausalLM", _PER_BLOCK | _NORM_AFTER | _QK_NORM),
}
"""By `general.architecture`."""

OLMO3 = Architecture("olmo3", "Olmo3ForCausalLM", ARCHITECTURES["olmo2"].block_tensors)
"""What GGUF's olmo2 is where it has a sliding window."""
