"""`spectra verify`: every byte hashed, every state looked at."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._progress import progress
from spectra.cli._text import complain, document, say
from spectra.printable import printable

if TYPE_CHECKING:
    from spectra.artifacts import LayerCheck, VerifyReport

EXAMPLE = "spectra verify annotated_traces_reprs --json"


WriteManifest = Annotated[
    bool,
    typer.Option(
        "--write-manifest",
        help="Write SHA256SUMS into each directory that is sound, in place of an earlier one.",
    ),
]


def verify(
    src: options.Source,
    write_manifest: WriteManifest = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a model directory (or several) in full: layout, file hashes, non-finite states.

    Where a directory has a SHA256SUMS, every file is compared with it first. Ends with 3 at the
    first fault. States that hold NaN or infinity are legal; they are counted. The lines of the
    files have the form that `sha256sum --check` reads.
    """
    from spectra import strict_json
    from spectra.artifacts import find_artifacts, verify_artifact

    reports = []
    with progress(quiet) as tell:
        for place in find_artifacts(src):
            tell(f"verifying {printable(place.name)}", 0, 0)
            reports.append(verify_artifact(place, write=write_manifest))
    if json:
        document(strict_json.dumps({"models": [_as_document(report) for report in reports]}))
    elif not quiet:
        for report in reports:
            _show(report)


def _as_document(report: VerifyReport) -> dict[str, Any]:
    return asdict(report) | {"path": str(report.path), "warnings": list(report.warnings)}


def _show(report: VerifyReport) -> None:
    from spectra.artifacts import MANIFEST_NAME

    for warning in report.warnings:
        complain(f"Warning: {warning}")
    for file in report.files:
        say(f"{file.sha256}  {report.path / file.name}")
    for layer in report.layers:
        say(_layer_line(report, layer))
    done = {
        "compared": f", as {MANIFEST_NAME} lists them",
        "written": f", which {MANIFEST_NAME} now lists",
        None: "",
    }
    say(
        f"{report.path}: sound; {len(report.files)} files, "
        f"{sum(file.size for file in report.files):,} bytes, {report.num_samples:,} traces, "
        f"{report.num_steps:,} steps{done[report.manifest]}"
    )


def _layer_line(report: VerifyReport, layer: LayerCheck) -> str:
    line = f"{report.path}: layer {layer.index}: {layer.num_rows:,} rows, "
    line += f"{layer.nonfinite_rows:,} of them with NaN or infinity"
    first = layer.first_nonfinite
    if first is not None:
        owner = "outside every trace" if first.sample_id is None else f"trace {first.sample_id!r}"
        line += f", the first at row {first.row}, column {first.column} ({first.file}, {owner})"
    return line
