"""`spectra traces`: annotated traces checked, converted from public layouts, or made up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._complete import among
from spectra.cli._register import register
from spectra.cli._text import complain, document, say
from spectra.errors import UsageError

if TYPE_CHECKING:
    from extract.text import TextTokenizer
    from extract.traces.check import Check

CHECK_EXAMPLE = "spectra traces check traces.jsonl.xz --json"
CONVERT_EXAMPLE = (
    "spectra traces convert math_rollouts --from thought-anchors --out traces.jsonl.xz"
)
SAMPLE_EXAMPLE = "spectra traces sample --count 8 --seed 1 --out traces.jsonl.xz"

# Repeated, so that help need not import their home; a test compares.
LAYOUTS = ("thought-anchors", "steering-thinking", "schoenfeld", "reasoning-flow")

_MOST_LABELS = 40

TracesFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="JSON Lines, plain, .xz, .gz or .zst; - reads standard input."
    ),
]
Tokenizer = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="A tokenizer.json, or the directory that holds it: also lay tokens against steps.",
    ),
]
Source = Annotated[Path, typer.Argument(metavar="SRC", help="The published file or directory.")]
Layout = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="NAME",
        help=f"Its layout: {', '.join(LAYOUTS)}.",
        autocompletion=among(LAYOUTS),
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FILE", help="The file to write; .xz, .gz or .zst at its end compresses it."
    ),
]
Lenient = Annotated[
    bool,
    typer.Option(
        "--lenient",
        help="Leave out what cannot be converted, and say how much it was, rather than stop.",
    ),
]
Number = Annotated[int, typer.Option(metavar="N", help="How many traces.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of numbers and wordings.")]

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Example:\n\n  {CHECK_EXAMPLE}",
)


@app.callback()
def _traces() -> None:
    """Annotated traces: check a file, convert published ones, or make some up."""


def check(file: TracesFile, tokenizer: Tokenizer = None, json: options.Json = False) -> None:
    """Show what a file of annotated traces holds, and what deserves a look before extraction.

    Ends with 3 at the first line that is malformed; what is legal but odd is counted.
    """
    from extract.traces import read_traces
    from extract.traces.check import check_traces
    from spectra import strict_json
    from spectra.notes import Notes

    notes = Notes()
    loaded = None if tokenizer is None else _tokenizer(tokenizer)
    result = check_traces(read_traces(file, notes), loaded)
    warnings = notes.sentences(str(file), uncovered=0, num_tokens=0)
    if json:
        document(strict_json.dumps(_as_document(file, result, warnings)))
        return
    for warning in warnings:
        complain(f"Warning: {warning}")
    _show(file, result)


def convert(src: Source, layout: Layout, out: Out, lenient: Lenient = False) -> None:
    """Convert published annotations to JSON Lines, every step located in its response exactly."""
    from extract.traces import write_traces
    from extract.traces.adapters import Skips
    from extract.traces.adapters import convert as converted

    skips = Skips()
    written = write_traces(out, converted(src, layout, skips, lenient=lenient))
    if skips.sentence():
        complain(f"Warning: {skips.sentence()}")
    say(f"{out}: {written:,} traces")


def sample(out: Out, count: Number = 24, seed: Seed = 0) -> None:
    """Write traces made from templates: real problems worked step by step, right throughout."""
    from extract.traces import write_traces
    from extract.traces.samples import sample_traces

    if count < 1:
        raise UsageError(f"--count is {count}. Expected 1 or more.")
    written = write_traces(out, sample_traces(count, seed=seed))
    say(f"{out}: {written:,} traces")


for _name, _command, _example in (
    ("check", check, CHECK_EXAMPLE),
    ("convert", convert, CONVERT_EXAMPLE),
    ("sample", sample, SAMPLE_EXAMPLE),
):
    register(app, _name, _command, _example)


def _tokenizer(path: Path) -> TextTokenizer:
    from extract.text import TextTokenizer

    return TextTokenizer(path / "tokenizer.json" if path.is_dir() else path)


def _as_document(file: Path, check: Check, warnings: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "file": str(file),
        "traces": check.traces,
        "problems": len(check.problems),
        "traces_without_problem": check.traces_without_problem,
        "steps": check.steps,
        "characters": check.characters,
        "step_characters": check.step_characters,
        "tokens": check.tokens,
    }
    for name, counts in (("segments", check.segments), ("categories", check.categories)):
        found[name] = [
            {"label": label, "steps": count.steps, "characters": count.characters}
            for label, count in _by_size(counts)
        ]
    found["findings"] = {
        name: {"count": finding.count, "traces": finding.traces, "first": finding.first}
        for name, finding in check.findings.items()
    }
    return found | {"warnings": list(warnings)}


def _by_size(counts: dict[str | None, Any]) -> list[tuple[str | None, Any]]:
    return sorted(counts.items(), key=lambda item: (-item[1].characters, item[0] or ""))


def _show(file: Path, check: Check) -> None:
    from spectra.cli._tables import print_table

    tokens = "" if check.tokens is None else f", {check.tokens:,} tokens"
    say(
        f"{file}: {check.traces:,} traces of {len(check.problems):,} problems"
        + (f" ({check.traces_without_problem:,} name none)" * (check.traces_without_problem > 0))
    )
    say(
        f"  {check.steps:,} steps with {check.step_characters:,} of {check.characters:,} response "
        f"characters{tokens}"
    )
    print_table(_label_table(check))
    found = {name: finding for name, finding in check.findings.items() if finding.count}
    if found:
        print_table(_findings_table(check))
    else:
        say("  Nothing that deserves a look.")


def _label_table(check: Check) -> Any:
    from spectra.cli._tables import label_cell, new_table

    table = new_table("Segments and categories, as labelled", "label", "steps", "characters")
    for counts, none in ((check.segments, "(none)"), (check.categories, "unlabelled")):
        for label, count in _by_size(counts)[:_MOST_LABELS]:
            name = label_cell(none if label is None else label)
            table.add_row(name, f"{count.steps:,}", f"{count.characters:,}")
        if len(counts) > _MOST_LABELS:
            table.add_row(f"… and {len(counts) - _MOST_LABELS} more")
        table.add_section()
    return table


def _findings_table(check: Check) -> Any:
    from extract.traces.check import FINDINGS, TOKEN_FINDINGS
    from spectra.cli._tables import label_cell, new_table

    table = new_table("Deserves a look", "what is counted", "count", "traces", "first")
    for name, text in (FINDINGS | TOKEN_FINDINGS).items():
        finding = check.findings.get(name)
        if finding is not None and finding.count:
            first = label_cell(finding.first or "")
            table.add_row(text, f"{finding.count:,}", f"{finding.traces:,}", first)
    return table
