"""One part of a run: its share of the token rows, collected into a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectra.artifacts import Layer, RowReader
from spectra.atomic import (
    discard_empty,
    free_bytes,
    replacing,
    sweep,
)
from spectra.backend import Backend, one_thread_blas
from spectra.engine import Array, Form, Progress, RunConfig, Share, collect_shares, forms, pilot
from spectra.engine.memory import Bytes, Limit
from spectra.errors import OutputError, PartMismatchError, UsageError
from spectra.linalg import F64
from spectra.lock import locked
from spectra.parts.file import DIGEST, DIGEST_FORM, PartFile, Sealed, header, write_tensors
from spectra.parts.identity import fingerprint
from spectra.parts.naming import Part
from spectra.preparation import Prepared, host_memory, megabytes
from spectra.strict_json import differences


@dataclass(frozen=True, slots=True)
class PartRun:
    """What became of a part of one model.

    Attributes:
        model: its name from config.json.
        path: the part's file.
        part: which it is.
        rows: its token rows [start, stop).
        written: whether it was collected now; False where the file was there already.
        bytes: the file's size.
    """

    model: str
    path: Path
    part: Part
    rows: tuple[int, int]
    written: bool
    bytes: int


@dataclass(frozen=True, slots=True)
class Planned:
    """What a part will collect, known before any state is read: of each layer, its pools' shares.

    Attributes:
        shares: by layer.
        tensors: the file's, in its order.
        memory: the largest that a layer takes.
        limit: what may be taken.
    """

    shares: dict[int, list[Share]]
    tensors: dict[str, Form]
    memory: Bytes
    limit: Limit

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return sum(form.size for form in self.tensors.values())


def check_options(config: RunConfig) -> None:
    """Raise `UsageError` for options that need all rows before any is collected."""
    if config.looks_first:
        raise UsageError(
            "parts do not go with --nonfinite drop or error, nor with --drop-norms: what is left "
            "out would follow from all rows before any is collected. Expected --nonfinite null "
            "and --drop-norms 0, or a run that is not cut in parts."
        )


def plan_part(prepared: Prepared, config: RunConfig, backend: Backend, part: Part) -> Planned:
    """What a part will collect."""
    shares: dict[int, list[Share]] = {}
    tensors: dict[str, Form] = {}
    memory, limits = Bytes(), []
    for layer, plan in zip(prepared.layers, prepared.plans, strict=True):
        reader = prepared.artifact.open_rows(layer, config.drop_dims)
        start, stop = part.span(reader.num_rows)
        shares[layer.index] = own = [Share.of(pool, start, stop) for pool in plan.pools]
        limits.append(Limit(host_memory(config), backend.moment_room(reader.dim)))
        memory = memory.larger(sum((one.planned(limits[-1]) for one in own), Bytes()))
        tensors |= _layer_forms(layer, reader.dim, reader.dtype, own, backend)
    tensors[DIGEST] = DIGEST_FORM
    return Planned(shares, tensors, memory, limits[0])


def check_memory(planned: Planned, part: Part) -> None:
    """Raise `UsageError` where a part does not fit: all its pools and categories are held."""
    if planned.limit.holds(planned.memory):
        return
    need, limit = planned.memory, planned.limit
    what, given = megabytes(need.host), megabytes(limit.host)
    if limit.device is not None:
        what += f", and {megabytes(need.device)} on the device"
        given += f", and {megabytes(limit.device)} there"
    raise UsageError(
        f"part {part} needs {what}, with all pools and categories held at once; {given} may be "
        "taken. Expected more: give --max-memory, cut the run in more parts, or ask for fewer "
        "pools or depth bins."
    )


def _layer_forms(
    layer: Layer, dim: int, dtype: np.dtype[Any], shares: list[Share], backend: Backend
) -> dict[str, Form]:
    """The tensors of one layer: the shift, a bit for each bad row of the part, and the pools'."""
    rows = shares[0].stop - shares[0].start
    found = {
        f"layer_{layer.index}/shift": Form(np.dtype(np.float64), (dim,)),
        f"layer_{layer.index}/bad": Form(np.dtype(np.uint8), (-(-rows // 8),)),
    }
    for share in shares:
        for name, form in forms(share, dtype, backend.mode).items():
            found[f"layer_{layer.index}/{share.plan.rows.pool}/{name}"] = form
    return found


def collect_part(
    prepared: Prepared,
    out: Path,
    part: Part,
    config: RunConfig,
    backend: Backend,
    sources: Mapping[str, str],
    progress: Progress,
    fresh: bool,
) -> PartRun:
    """Collect a part, unless its file is there; `fresh` collects it whatever is there.

    Raises:
        PartMismatchError: the file that is there is of another source, or of other options.
        PartFormatError: it is none.
        DirectoryBusyError, OutputError: another process writes it, or it cannot be written.
    """
    path = part.path(out)
    planned = plan_part(prepared, config, backend, part)
    check_memory(planned, part)
    # Held by the part, whose unfinished file is in there: a killed one's is found and swept.
    work = path.parent / f".{path.stem}"
    with locked(work, "part.lock", required=False):
        sweep(work)
        prepared = prepared.fetched()
        shifts = _shifts(prepared, config)
        mark = fingerprint(prepared, config, backend, shifts)
        first = next(iter(planned.shares.values()))[0]
        rows = first.start, first.stop
        model = prepared.artifact.config.model
        if path.exists() and not fresh:
            there = PartFile.open(path)
            there.is_part(part)
            check_fingerprint(there, mark, "this run")
            return PartRun(model, path, part, rows, False, path.stat().st_size)
        record = {
            "part": str(part),
            "rows": list(rows),
            "fingerprint": mark,
            "options": config.asdict(),
            "sources": dict(sources),
        }
        head = header(planned.tensors, record)
        _check_room(path, planned.size + len(head))
        with replacing(path, work) as stream, one_thread_blas():
            sealed = Sealed(stream)
            sealed.write(head)
            for layer in prepared.layers:
                with prepared.artifact.open_rows(layer, config.drop_dims) as reader:
                    shift, shares = shifts[layer.index], planned.shares[layer.index]
                    arrays = _layer_arrays(layer, shares, reader, shift, backend, progress)
                write_tensors(sealed, planned.tensors, arrays)
                del arrays  # what they are made from, too, before the next layer's
            sealed.seal()
    discard_empty([work])  # a killed part's is not the lock's to remove
    return PartRun(model, path, part, rows, True, planned.size + len(head))


def _layer_arrays(
    layer: Layer,
    shares: list[Share],
    reader: RowReader,
    shift: F64,
    backend: Backend,
    progress: Progress,
) -> dict[str, Array]:
    """One layer's tensors, by name."""
    start, stop = shares[0].start, shares[0].stop
    collected, bad = collect_shares(
        *(shares, reader, shift, backend),
        lambda row: progress("reading", row - start, stop - start),
    )
    bits = np.zeros(stop - start, bool)
    bits[bad - start] = True
    arrays: dict[str, Array] = {
        f"layer_{layer.index}/shift": shift,
        f"layer_{layer.index}/bad": np.packbits(bits),
    }
    for one in collected:
        for name, array in one.arrays.items():
            arrays[f"layer_{layer.index}/{one.share.plan.rows.pool}/{name}"] = array
    return arrays


def check_fingerprint(found: PartFile, mark: Mapping[str, Any], whose: str) -> None:
    """Raise `PartMismatchError`, naming the first field that differs."""
    for field, there, here in differences(found.record.get("fingerprint"), dict(mark)):
        name = field or "fingerprint"
        raise PartMismatchError(
            f"{found.path} was collected with another {name}: {_short(there)} there, "
            f"{_short(here)} in {whose}. Expected the same source, options and versions in all "
            "parts: run with those, choose another --out, or have the part written again (--fresh)."
        )


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _shifts(prepared: Prepared, config: RunConfig) -> dict[int, F64]:
    found = {}
    for layer in prepared.layers:
        with prepared.artifact.open_rows(layer, config.drop_dims) as reader:
            found[layer.index] = pilot(reader)
    return found


def _check_room(path: Path, needed: int) -> None:
    free = free_bytes(path.parent)
    if needed > free:
        raise OutputError(
            f"{path}: the part needs {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB "
            "free. Nothing was computed or written. Expected room for it: free some, choose "
            "another --out, or ask for fewer layers, pools, depth bins or counts."
        )
