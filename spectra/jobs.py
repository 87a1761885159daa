"""A run cut in parts, each a job that may be stopped and begun again: `run_part`, then `merge`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spectra.artifacts import find_artifacts
from spectra.backend import select_backend
from spectra.engine import Progress, RunConfig
from spectra.outputs import run_lock
from spectra.parts import (
    Part,
    PartRun,
    check_options,
    collect_part,
    open_parts,
    recorded_options,
)
from spectra.pipeline import ModelRun, Setting, options_record, output_directories, run_model
from spectra.preparation import prepare


def run_part(
    src: str | Path,
    out: str | Path,
    part: str | Part,
    config: RunConfig | None = None,
    *,
    sources: Mapping[str, str] = {},
    progress: Progress = lambda stage, done, total: None,
    fresh: bool = False,
) -> tuple[PartRun, ...]:
    """Collect one part of a run into a file that `merge` adds to the others.

    The part reads its contiguous share of the token rows, and up to 1,024 single rows of all that
    the sums are taken around. A part whose file is there already is left as it is.

    Args:
        src: as for `run`.
        out: the part goes to out/<directory name>/parts/part-<i>-of-<n>.safetensors.
        part: "i/n" for part i of n, i from 0 on.
        config: all options, which must be the same for all parts; the defaults if None.
        sources: where the options came from, for the run.json of the merged run.
        progress: told of each stage's progress.
        fresh: whether to collect the part whatever is there.

    Raises:
        UsageError: an option cannot be met here, or not in parts.
        PartMismatchError: the part is there, from another source, options or versions.
        InputError, DirectoryBusyError, OutputError: as `run` raises them.
    """
    config = config or RunConfig()
    part = Part.parse(part) if isinstance(part, str) else part
    check_options(config)
    backend = select_backend(config.backend, config.precision, config.devices)
    parts = []
    for place, target in output_directories(find_artifacts(src), Path(out)).items():
        prepared = prepare(place, config, backend, progress, whole=False).without_steps()
        parts.append(
            collect_part(prepared, target, part, config, backend, sources, progress, fresh)
        )
    return tuple(parts)


def merge(
    src: str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    max_memory: int = 0,
    command: Sequence[str] = (),
    progress: Progress = lambda stage, done, total: None,
) -> tuple[ModelRun, ...]:
    """Finish a run whose parts `run_part` collected, as if it had been run at once.

    Parts add up in the order of their rows, whatever order they were written in. Standard errors,
    repairs of unresolved spectra, conventions that normalise rows, and halves of the traces read
    states of `src` again; with jackknife "off" and resolved spectra none are read.

    Args:
        src: as the parts had it; everything but the states is read and checked.
        out: as the parts had it.
        config: all options, as the parts had them; None for those that the parts recorded.
        max_memory: bytes of host memory, where the parts' options are taken; 0 for 60 % of it.
        command: the command line, for run.json.
        progress: told of each stage's progress.

    Raises:
        PartsMissingError, PartMismatchError, PartFormatError: parts are missing, do not belong to
            this source and these options, or are not whole.
        InputError, UsageError, DirectoryBusyError, OutputError: as `run` raises them.
    """
    runs = []
    for place, target in output_directories(find_artifacts(src), Path(out)).items():
        chosen, sources = (config, {}) if config else recorded_options(target, max_memory)
        check_options(chosen)
        backend = select_backend(chosen.backend, chosen.precision, chosen.devices)
        origin = {"command": list(command), "options": options_record(chosen, sources)}
        setting = Setting(chosen, backend, origin, progress)
        with run_lock(target):
            runs.append(run_model(place, target, setting, opened=open_parts))
    return tuple(runs)
