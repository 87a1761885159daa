"""All parts of a run, checked and ready to be added up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectra.backend import Backend
from spectra.engine import Collected, Merged, RunConfig
from spectra.errors import PartFormatError, PartsMissingError, UsageError
from spectra.grouping import Ints
from spectra.parts.collect import Planned, check_fingerprint, plan_part
from spectra.parts.file import PartFile
from spectra.parts.identity import fingerprint, settled
from spectra.parts.naming import DIRECTORY, Part, parts_in
from spectra.preparation import Prepared


@dataclass(frozen=True, slots=True)
class Parts:
    """How many parts there are, and what each layer has of all of them."""

    of: int
    layers: dict[int, Merged]


def recorded_options(out: Path, max_memory: int) -> tuple[RunConfig, dict[str, str]]:
    """The options that the first part was run with, and where they came from.

    Memory and devices are not the part's but those of the machine that merges: all of its devices.

    Raises:
        PartsMissingError: some parts are missing; all of them are named.
        PartFormatError: the first one is not whole.
    """
    found = PartFile.open(_all_parts(out)[0].path(out))
    options, sources = found.record.get("options"), found.record.get("sources")
    try:
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in ({} if options is None else options).items()
        }
        config = RunConfig(**(given | {"max_memory": max_memory, "devices": 0}))
        came_from = {str(name): str(source) for name, source in dict(sources or {}).items()}
        came_from.pop("devices", None)
        # Before anything is planned by them; the whole file is compared with its hash later.
        if settled(config) != found.record["fingerprint"]["options"]:
            raise ValueError("they are not those that it was collected with")
    except (AttributeError, LookupError, TypeError, ValueError, UsageError) as error:
        raise PartFormatError(
            f"{found.path} is not a whole part of a run: its options are not those of this "
            f"version ({error}). Have it written again (--fresh)."
        ) from None
    return config, came_from


def open_parts(out: Path, prepared: Prepared, config: RunConfig, backend: Backend) -> Parts:
    """The parts that were written for results in `out`, in their order.

    Raises:
        PartsMissingError: some are missing; all of them are named.
        PartMismatchError: one is of another source, or of other options than the rest.
        PartFormatError: one is not whole.
    """
    parts = _all_parts(out)
    files = [PartFile.open(part.path(out)) for part in parts]
    shifts = {}
    for layer in prepared.layers:
        shift = files[0].tensors.get(f"layer_{layer.index}/shift")
        if shift is not None:
            shifts[layer.index] = shift[:]
    mark = fingerprint(prepared, config, backend, shifts)
    for part, file in zip(parts, files, strict=True):
        file.is_part(part)
        check_fingerprint(file, mark, "the merging run")
    plans = []
    for part, file in zip(parts, files, strict=True):
        plans.append(plan_part(prepared, config, backend, part))
        file.check(plans[-1].tensors.items())
    layers = {}
    for layer in prepared.layers:
        collected = [_collected(*one, layer.index) for one in zip(files, plans, strict=True)]
        bad = [_bad(*one, layer.index) for one in zip(files, plans, strict=True)]
        layers[layer.index] = Merged(shifts[layer.index], np.concatenate(bad), collected)
    return Parts(len(parts), layers)


def _all_parts(out: Path) -> list[Part]:
    found = parts_in(out)
    if not found:
        raise PartsMissingError(
            f"{out / DIRECTORY} has no part of a run. Expected those that `spectra run --part i/n` "
            "with the same --out writes there."
        )
    numbers = sorted({part.of for part in found})
    if len(numbers) > 1:
        raise PartsMissingError(
            f"{out / DIRECTORY} has parts of runs that were cut in {numbers[0]} and in "
            f"{numbers[1]}. Expected those of one run: remove the others."
        )
    missing = sorted({Part(number, numbers[0]) for number in range(numbers[0])} - set(found))
    if missing:
        names = ", ".join(map(str, missing))
        raise PartsMissingError(
            f"{out / DIRECTORY} lacks {len(missing)} of {numbers[0]} parts: {names}. Expected all: "
            "run `spectra run --part` for each of them, then merge again."
        )
    return found


def _collected(file: PartFile, planned: Planned, layer: int) -> list[Collected]:
    found = []
    for share in planned.shares[layer]:
        prefix = f"layer_{layer}/{share.plan.rows.pool}/"
        arrays = {
            name.removeprefix(prefix): array
            for name, array in file.tensors.items()
            if name.startswith(prefix)
        }
        found.append(Collected.from_arrays(share, arrays))
    return found


def _bad(file: PartFile, planned: Planned, layer: int) -> Ints:
    share = planned.shares[layer][0]
    bits = file.tensors[f"layer_{layer}/bad"][:]
    bad = np.flatnonzero(np.unpackbits(bits, count=share.stop - share.start))
    return np.asarray(bad + share.start)
