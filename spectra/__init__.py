"""Spectral metrics of hidden states: exact, batched, JIT-compiled."""

from __future__ import annotations

from ._version import __version__ as __version__
