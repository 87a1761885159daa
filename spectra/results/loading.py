"""`spectra.load`: finding what runs wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from spectra.errors import MissingFileError, ResultsNotFoundError
from spectra.outputs import FILES, RUN_FILE
from spectra.outputs.commit import output_files
from spectra.results.model import ModelResult, Results
from spectra.results.read import pool_folders, run_record


def load(path: str | Path) -> Results:
    """The results in a directory that `spectra run` wrote, or in the parent of several.

    Files are read when they are first asked for, and checked against run.json then.

    Raises:
        ResultsNotFoundError: no finished run is there.
        InputError: a run.json is malformed or of another version.
    """
    root = Path(path)
    if not root.is_dir():
        raise MissingFileError(
            f"{root} is not a directory. Expected one that `spectra run` wrote, or the parent of "
            "several. Check the path."
        )
    places = [root] if _holds_results(root) else [p for p in _children(root) if _holds_results(p)]
    finished = [place for place in places if (place / RUN_FILE).exists()]
    unfinished = tuple(place for place in places if place not in finished)
    if not finished:
        found = f"{unfinished[0]} has no {RUN_FILE}: its run did not finish" if unfinished else (
            f"{root} holds no results"
        )  # fmt: skip
        raise ResultsNotFoundError(
            f"{found}. Expected a directory that `spectra run` wrote to the end, or the parent of "
            "several. Run it again, or check the path."
        )
    return Results({place.resolve().name: _model(place) for place in finished}, unfinished)


def load_all(paths: Sequence[str | Path]) -> Results:
    """The results in several such places as one.

    Each model is there once, by as much of its path as tells it from the others.

    Raises what `load` raises.
    """
    loaded = [load(path) for path in paths]
    models = {m.path.resolve(): m for results in loaded for m in results.values()}
    return Results(
        dict(zip(_distinct(list(models)), models.values(), strict=True)),
        tuple(place for results in loaded for place in results.unfinished),
    )


def _distinct(paths: Sequence[Path]) -> list[str]:
    """As many of the last parts of each path as make all of them different."""
    for depth in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _model(path: Path) -> ModelResult:
    run = run_record(path)
    primary, folders = pool_folders(path, run)
    return ModelResult(path, run, primary, folders)


def _holds_results(path: Path) -> bool:
    """Whether a run wrote here, be it to the end or not."""
    return (path / RUN_FILE).exists() or any(
        PurePosixPath(name).name in FILES for name in output_files(path)
    )


def _children(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []
