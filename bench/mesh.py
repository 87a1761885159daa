"""What a mesh of one device costs: moments and reductions on a device, with it and without.

`python -m bench.mesh --backend gpu` prints a card, a table and, as its last line, the whole as one
JSON document. With `--devices N` a mesh of N is beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer
from numpy.typing import NDArray

from bench import _card, _shell
from bench._timing import figure, take_turns
from bench.scaling import table
from spectra.backend import Backend, Sums, find_devices
from spectra.backend.device import ROWS_PER_UPDATE, DeviceBackend
from spectra.backend.mesh import MeshBackend
from spectra.backend.room import Room

DIMS = (1024, 4096)

MEASURES = (
    "bfloat16 rows in the host's memory to moments on the device, by blocks as large as the "
    "engine's, and one reduction of such moments, by the device's backend alone and by a mesh"
)
METHOD = "medians of wall times after a warm-up, in turns; ratios are over the device alone"
FLOOR = "the device alone"

app = typer.Typer(add_completion=False)


@app.command()
def main(
    dims: Annotated[str | None, typer.Option(help="Widths d, such as 1024,4096.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Rows.")] = 65536,
    devices: Annotated[int, typer.Option(min=1, help="Of a further mesh.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    backend: _shell.BackendName = "auto",
    save: _shell.Save = None,
) -> None:
    """A device's backend, against a mesh of one and of more."""
    _shell.check_save(save)
    _shell.chosen_backend(backend)
    found = find_devices(backend)
    if devices > len(found):
        raise typer.BadParameter(f"--devices {devices}: there are {len(found)}")
    widths, out = _shell.integers("--dims", dims) or DIMS, _shell.recorder()
    measured = {"dims": list(widths), "rows": rows, "devices": devices, "repeats": repeats}
    card = _card.card("mesh", f"{MEASURES}; {METHOD}", measured, {"how": FLOOR})
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    each = [DeviceBackend(device, Room.of(device)) for device in found[:devices]]
    made: dict[str, Backend] = {"device alone": each[0], "mesh of 1": MeshBackend(each[:1])}
    if devices > 1:
        made[f"mesh of {devices}"] = MeshBackend(each)
    cells = [cell for dim in widths for cell in compared(made, dim, rows, repeats)]
    out.print()
    out.print(table("With a mesh and without", cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def compared(made: dict[str, Backend], dim: int, rows: int, repeats: int) -> list[dict[str, Any]]:
    """A line for each backend; the first one is what others are compared with."""
    x = np.random.default_rng(0).standard_normal((rows, dim), np.float32).astype(jnp.bfloat16)

    def moments(backend: Backend) -> Any:
        return _summed(backend, x).gram

    tasks: dict[tuple[str, str], Callable[[], Any]] = {}
    for name, backend in made.items():
        held = _summed(backend, x)
        jax.block_until_ready(held.gram)
        tasks[name, "moments"] = partial(moments, backend)
        tasks[name, "reduction"] = partial(backend.reduce_moments, held, np.zeros(dim))
    _, timings = take_turns(tasks, repeats)
    first = next(iter(made))
    cells = []
    for name in made:
        cell: dict[str, Any] = {"backend": name, "d": dim, "rows": rows}
        for what in ("moments", "reduction"):
            seconds = timings[name, what].median
            cell[f"{what}_seconds"] = figure(seconds)
            cell[f"{what}_ratio"] = figure(seconds / timings[first, what].median)
        cells.append(cell)
    return cells


def _summed(backend: Backend, x: NDArray[Any]) -> Sums:
    sums, shift = backend.zeros(x.shape[1]), np.zeros(x.shape[1])
    for start in range(0, len(x), ROWS_PER_UPDATE):
        sums = backend.accumulate(sums, x[start : start + ROWS_PER_UPDATE], shift)
    return sums


if __name__ == "__main__":
    app()
