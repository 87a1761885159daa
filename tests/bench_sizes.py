"""Benchmarks whose cards measure a machine's rates on small arrays: no test asks for the rates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench import _card

ORDER, COPIED = 64, 1 << 16


@contextmanager
def small_rates() -> Iterator[None]:
    """Within, rates are of matrices of `ORDER` and of copies of `COPIED` bytes."""
    rates = _card.rates
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_card, "rates", lambda platform, *sizes: rates(platform, ORDER, COPIED))
        yield
