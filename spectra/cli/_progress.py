"""A progress bar on stderr, where stderr is a terminal and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spectra.printable import shortened

Progress = Callable[[str, int, int], None]

_STAGE_WIDTH = 24
"""What leaves room for the numbers in 60 columns."""


@contextmanager
def progress(quiet: bool = False, *, unit: str | None = None) -> Iterator[Progress]:
    """A function to tell the stage, how much of it is done, and its whole (0: not known).

    With a `unit`, such as "tokens", its rate a second and the time left are shown too.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    ]
    if unit is not None:
        columns += [
            TextColumn(f"{{task.fields[rate]}} {unit}/s", markup=False),
            TimeRemainingColumn(),
        ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, rate="–")
        stage_now = ""

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal stage_now
            if stage != stage_now:  # its clock and its rate start anew
                stage_now = stage
                shown = shortened(stage, _STAGE_WIDTH)
                bar.reset(task, description=shown, completed=done, total=total or None)
            bar.update(task, completed=done, total=total or None)
            speed = bar.tasks[0].speed
            bar.update(task, rate="–" if speed is None else f"{speed:,.0f}")

        yield tell
