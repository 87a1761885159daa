"""Gram matrices by BLAS, in tiles that run side by side: y'y added, yy' put in place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import Executor

from spectra.linalg.unlocked import F64, at, integer, routine

_dsyrk = routine("dsyrk", 10)
_dgemm = routine("dgemm", 13)

SMALLEST_TILE = 192
"""Least order of a tile: narrower ones miss the rate of BLAS, so that idle cores cost less."""

_ZERO, _ONE = (ctypes.byref(ctypes.c_double(value)) for value in (0.0, 1.0))


def add_gram(gram: F64, y: F64, threads: Executor, cores: int) -> None:
    """Add y'y to the lower triangle of gram, in place.

    Tiles on the diagonal are triangles (`syrk`), those below it squares (`gemm`), so nothing is
    computed twice, and tiles share no output.

    Args:
        gram: [d, d] float64 in Fortran order.
        y: [m, d] float64 in C order.
        threads: runs the tiles; BLAS itself should be limited to one thread.
        cores: how many of them run at a time.
    """
    rows, dim = y.shape

    def add(row: int, column: int, height: int, width: int) -> None:
        target = at(gram, column * dim + row)
        if row == column:
            _dsyrk(
                b"L", b"N", integer(width), integer(rows), _ONE, at(y, column), integer(dim), _ONE,
                target, integer(dim),
            )  # fmt: skip
        else:
            _dgemm(
                b"N", b"T", integer(height), integer(width), integer(rows), _ONE, at(y, row),
                integer(dim), at(y, column), integer(dim), _ONE, target, integer(dim),
            )  # fmt: skip

    _side_by_side(add, dim, threads, cores)


def put_row_gram(
    gram: F64, start: int, y: F64, threads: Executor | None = None, cores: int = 1
) -> None:
    """Put yy' in the lower triangle of gram[start:, start:].

    Args:
        gram: [k, k] float64 in Fortran order.
        start: k - m, 0 or more.
        y: [m, d] float64 in C order.
        threads, cores: as for `add_gram`; without threads it is one call.
    """
    (rows, dim), order = y.shape, len(gram)

    def put(row: int, column: int, height: int, width: int) -> None:
        target = at(gram, (start + column) * order + start + row)
        if row == column:
            _dsyrk(
                b"L", b"T", integer(width), integer(dim), _ONE, at(y, column * dim), integer(dim),
                _ZERO, target, integer(order),
            )  # fmt: skip
        else:
            _dgemm(
                b"T", b"N", integer(height), integer(width), integer(dim), _ONE, at(y, row * dim),
                integer(dim), at(y, column * dim), integer(dim), _ZERO, target, integer(order),
            )  # fmt: skip

    if threads is not None:
        _side_by_side(put, rows, threads, cores)
    elif rows:
        put(0, 0, rows, rows)


def _side_by_side(
    fill: Callable[[int, int, int, int], None], order: int, threads: Executor, cores: int
) -> None:
    """`fill` the tiles of a lower triangle, each told its first row and column, and its shape."""
    side = tile_order(order, cores)
    starts = range(0, order, side)
    # Squares take twice as long as triangles: they go first, so that the last to finish is small.
    places = [(row, column) for column in starts for row in starts if row > column]
    places += [(start, start) for start in starts]

    def tile(place: tuple[int, int]) -> None:
        row, column = place
        fill(row, column, min(side, order - row), min(side, order - column))

    list(threads.map(tile, places))


def tile_order(order: int, cores: int) -> int:
    """The order of the tiles of a triangle: the largest of which every core has as many.

    k tiles a side are k^2 halves of a square of work, a square being two: shares come out even
    where k is even and k^2 is at least two for each core, and nearly a multiple of the cores.
    """
    side = 2
    while side**2 < 2 * cores or -(-(side**2) // cores) * cores > 1.15 * side**2:
        side += 2
    return max(-(-order // (16 * side)) * 16, SMALLEST_TILE)
