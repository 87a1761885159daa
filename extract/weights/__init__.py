"""Checkpoints: where a model's weights, configuration and tokenizer come from.

A local Hugging Face directory, a model of the hub by name and revision, or a GGUF file.
"""

from __future__ import annotations

from extract.weights._open import open_checkpoint as open_checkpoint
from extract.weights._types import Checkpoint as Checkpoint
from extract.weights._types import TensorInfo as TensorInfo
from extract.weights._types import TensorSource as TensorSource
