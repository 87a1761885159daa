"""One layer's rows on their way to the shards, in whatever blocks the caller has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts.rows import DTYPES
from spectra.errors import ShardDtypeError, ShardShapeError

Blocks = NDArray[Any] | Iterable[NDArray[Any]]


class Source:
    """One layer's rows, handed out in pieces of any length."""

    def __init__(self, layer: int, blocks: Blocks) -> None:
        self.layer = layer
        self._blocks = iter((blocks,) if isinstance(blocks, np.ndarray) else blocks)
        first = next(self._blocks, None)
        if first is None:
            raise ShardShapeError(f"Layer {layer} has no block of rows; expected at least one.")
        self.dim = first.shape[-1]
        self.dtype = self._name(first)
        self._blocks = chain((first,), self._blocks)
        self._rest = first[:0]

    def take(self, rows: int) -> Iterator[NDArray[Any]]:
        """The next `rows` rows, in pieces."""
        while rows:
            if not len(self._rest):
                self._rest = self._next(rows)
            piece, self._rest = self._rest[:rows], self._rest[rows:]
            rows -= len(piece)
            yield piece

    def expect_end(self) -> None:
        """Raise `ShardShapeError` if rows are left over."""
        left = len(self._rest) + sum(len(block) for block in self._blocks)
        if left:
            raise ShardShapeError(
                f"Layer {self.layer} has {left} rows more than the samples have tokens. "
                "Expected one row a token."
            )

    def _next(self, wanted: int) -> NDArray[Any]:
        block = next(self._blocks, None)
        if block is None:
            raise ShardShapeError(
                f"Layer {self.layer} ends {wanted} rows before a shard's end. Expected one row for "
                "each token of the samples."
            )
        if block.ndim != 2 or block.shape[1] != self.dim or self._name(block) != self.dtype:
            raise ShardShapeError(
                f"Layer {self.layer} has a block of shape {list(block.shape)} and dtype "
                f"{block.dtype}; expected [rows, {self.dim}] of {self.dtype} as in the first."
            )
        return block

    def _name(self, block: NDArray[Any]) -> str:
        for name, dtype in DTYPES.items():
            if block.dtype == dtype:
                return name
        raise ShardDtypeError(
            f"Layer {self.layer} is of dtype {block.dtype}; expected one of {', '.join(DTYPES)}. "
            "Convert the rows first."
        )
