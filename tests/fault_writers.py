"""What writes files under a final name, each with two versions and a reader that tells them apart.

Nothing here needs JAX to compute, so that a process may fork: what a run computed is handed over.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

import spectra
import spectra.pipeline
from extract.traces import Trace, TraceStep, read_traces, write_traces
from spectra.artifacts import open_artifact, verify_artifact, write_artifact
from spectra.artifacts.digest import FileDigest
from spectra.artifacts.manifest import MANIFEST_NAME, write_manifest
from spectra.atomic import make_directory
from spectra.backend.host import HostBackend
from spectra.cli._results import deliver, only_writer
from spectra.errors import MissingFileError, ResultsNotFoundError
from spectra.outputs import commit, run_lock
from spectra.parts import Part, collect_part, identity, plan_part
from spectra.parts.file import PartFile
from spectra.preparation import Prepared, prepare
from spectra.tables import write_table
from tests.artifact_files import TOKENS, rows, samples, write_tiny

OLD, NEW = 0, 1
MODEL = "tiny"
_OLDER = spectra.RunConfig(
    layers="all",
    pools=("all",),
    counts=(4,),
    repeats=1,
    num_bins=2,
    jackknife="off",
    diagnostics=False,
)
CONFIGS = (_OLDER, replace(_OLDER, layers=(), seed=1))
"""Of a run's versions: the older has a layer and a profile more, and another seed."""


@dataclass(frozen=True)
class Writer:
    """`write` puts a version into a directory; `seen` is the one that a reader finds there.

    `seen` gives None where the reader is told that the directory is unfinished.
    """

    write: Callable[[Path, int], object]
    seen: Callable[[Path], int | None]


@dataclass(frozen=True)
class Run:
    """What a run hands to `commit`."""

    files: Mapping[str, bytes]
    record: Mapping[str, Any]


def capture_runs(directory: Path) -> list[Run]:
    """The two versions, computed from a tiny artifact that is made in the directory."""
    captured: list[Run] = []

    def keep(out: Path, files: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
        captured.append(Run(dict(files), dict(record)))

    write_tiny(directory / MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectra.pipeline, "commit", keep)
        for config in CONFIGS:
            spectra.run(directory / MODEL, directory / "unused", config)
    return captured


def run_writer(runs: list[Run]) -> Writer:
    def write(path: Path, version: int) -> None:
        out = path / MODEL
        with run_lock(out):
            commit(out, runs[version].files, runs[version].record)

    def seen(path: Path) -> int | None:
        try:
            model = spectra.load(path)[MODEL]
        except (MissingFileError, ResultsNotFoundError):
            return None
        version = int(model.run["seed"])
        assert len(list(model.every_pool())) == len(model.layers) == (2, 1)[version]
        for name, content in runs[version].files.items():
            assert (path / MODEL / name).read_bytes() == content
        return version

    return Writer(write, seen)


def write_comparison(path: Path, version: int) -> None:
    name = "comparison.json"
    with only_writer(path, name):
        deliver(
            path,
            (name, {"warnings": [], "version": version}),
            ("comparison.csv", b"%d" % version),
            lambda: (),
            as_json=False,
            quiet=True,
        )


def comparison(path: Path) -> int | None:
    if not (path / "comparison.json").exists():
        return None
    version = int((path / "comparison.csv").read_bytes())
    assert f'"version": {version}' in (path / "comparison.json").read_text()
    return version


def write_states(path: Path, version: int) -> None:
    layers = {5: rows(TOKENS, seed=version)}
    write_artifact(
        path / "m", model="m", layers=layers, samples=samples(), final_norm=False, shard_rows=20
    )


def states(path: Path) -> int | None:
    try:
        artifact = open_artifact(path / "m")
    except MissingFileError:  # config.json, which comes last
        return None
    verify_artifact(path / "m")
    with artifact.open_rows(artifact.layer()) as reader:
        found = reader.read(0, TOKENS).tobytes()
    return [rows(TOKENS, seed=version).tobytes() for version in (OLD, NEW)].index(found)


def write_lines(path: Path, version: int) -> None:
    steps = (TraceStep(0, 4, "thought", "x"),)
    traces = [Trace(f"{n}-{version}", "text", steps, prompt="p") for n in range(3)]
    write_traces(path / "made" / "traces.jsonl.xz", traces)


def first_line(path: Path) -> int | None:
    file = path / "made" / "traces.jsonl.xz"
    if not file.exists():
        return None
    return int(next(iter(read_traces(file))).trace_id.removeprefix("0-"))


def write_page(path: Path, version: int) -> None:
    """`spectra report`'s page and one chart; drawing them takes seconds, so they are at hand."""
    from spectra.report import pictures, write_report

    chart = SimpleNamespace(name="layers", alone=lambda width: {})
    drawer = SimpleNamespace(
        register_font_directory=str,
        vegalite_to_svg=lambda spec, **options: f"<svg>{version}</svg>",
        vegalite_to_pdf=lambda spec, **options: b"%%PDF %d" % version,
        vegalite_to_png=lambda spec, **options: b"PNG %d" % version,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spectra.report.charts.figures", lambda models, names: ([chart], []))
        patch.setattr("spectra.report.page.page", lambda *parts: f"<html>{version}")
        patch.setattr(pictures, "libraries", str)
        patch.setattr(pictures, "font_faces", str)
        patch.setattr(pictures, "vl_convert", drawer)
        write_report([path.parent / "results"], path / "report.html", figures=path / "figures")


def page(path: Path) -> int | None:
    file = path / "report.html"
    return int(file.read_text().removeprefix("<html>")) if file.exists() else None


class _Frame:
    """What `spectra table` writes of a data frame."""

    columns = ("version",)

    def __init__(self, version: int) -> None:
        self._version = version

    def iter_rows(self) -> Iterator[tuple[int]]:
        return iter([(self._version,)])

    def write_parquet(self, stream: BinaryIO) -> None:
        stream.write(b"PAR1 %d" % self._version)


def write_tables(path: Path, version: int) -> None:
    make_directory(path)
    for suffix in ("csv", "parquet"):
        write_table(_Frame(version), path / f"table.{suffix}", ("rankme",))


def tables(path: Path) -> int | None:
    """By the one that is written last."""
    file = path / "table.parquet"
    return int(file.read_bytes().removeprefix(b"PAR1 ")) if file.exists() else None


def write_sums(path: Path, version: int) -> None:
    """`spectra verify --write-manifest`, of a shard that needs not be there."""
    make_directory(path)
    write_manifest(path, [FileDigest("a.safetensors", version, 64 * str(version))])


def sums(path: Path) -> int | None:
    file = path / MANIFEST_NAME
    return int(file.read_text().splitlines()[-1][0]) if file.exists() else None


def part_writer() -> Writer:
    """`spectra run --part 0/2` of an artifact that is made beside at the first call."""
    prepared: list[Prepared] = []
    part, host = Part(0, 2), HostBackend()

    def write(path: Path, version: int) -> None:
        states = path.parent / "states" / MODEL
        if not states.exists():
            write_tiny(states)
        while len(prepared) < len(CONFIGS):
            config = CONFIGS[len(prepared)]
            prepared.append(prepare(states, config, host, _quiet, whole=False).without_steps())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(identity, "versions", dict)  # they take a while
            config, ready = CONFIGS[version], prepared[version]
            collect_part(ready, path / MODEL, part, config, host, {}, _quiet, fresh=True)

    def seen(path: Path) -> int | None:
        file = part.path(path / MODEL)
        if not file.exists():
            return None
        found = PartFile.open(file)
        version = int(found.record["options"]["seed"])
        found.check(plan_part(prepared[version], CONFIGS[version], host, part).tensors.items())
        return version

    return Writer(write, seen)


def _quiet(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def writers(runs: list[Run]) -> dict[str, Writer]:
    """All, by name. The report is on results that lie beside its directory."""
    return {
        "run": run_writer(runs),
        "compare": Writer(write_comparison, comparison),
        "artifact": Writer(write_states, states),
        "traces": Writer(write_lines, first_line),
        "table": Writer(write_tables, tables),
        "manifest": Writer(write_sums, sums),
        "part": part_writer(),
        "report": Writer(write_page, page),  # last: with its libraries a process forks slowly
    }


def save_runs(runs: list[Run], file: Path) -> None:
    """For the processes that load them."""
    file.write_bytes(pickle.dumps(runs))


def load_runs(file: Path) -> list[Run]:
    """What the test process pickled."""
    runs: list[Run] = pickle.loads(file.read_bytes())
    return runs
