"""Causal attention over whole sequences, one implementation a file, and the choice among them."""

from __future__ import annotations

from extract.decoder.attention.choose import choose as choose
from extract.decoder.attention.chunked import chunked as chunked
