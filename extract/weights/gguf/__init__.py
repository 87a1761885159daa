"""GGUF files: Hugging Face's names, configuration and tokenizer out of llama.cpp's."""

from __future__ import annotations

from extract.weights.gguf._open import open_gguf as open_gguf
