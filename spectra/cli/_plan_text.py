"""A plan as text: each figure with where it comes from."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from spectra.cli._text import duration_text, size_text

_WIDTH = 100


def text(plan: Mapping[str, Any]) -> str:
    """All of it, a paragraph a subject."""
    outline, seconds = plan["outline"], plan["seconds"]
    parts = _wrapped(
        "",
        f"Plan of {outline['tokens']:,} tokens x {outline['dim']:,} in {outline['layers']:,} "
        f"layer(s), by {outline['processes']:,} process(es) with {outline['devices']:,} device(s): "
        f"{outline['traces']:,} traces, {outline['steps']:,} steps, {outline['categories']:,} "
        "categories",
    )
    for subject, words in _subjects(plan).items():
        parts += _wrapped(f"{subject:<9}", words)
    parts += ["", f"time     about {_duration(seconds['total'])}, one after the other:"]
    for name, told in (
        ("draws", "random keys of subsamples, once in every process"),
        ("collecting", "reading and products of the passes that collect, the longer one of both"),
        ("solving", "the process that has most to solve"),
        ("weighing", "reading and products of the second passes, the longer one of both"),
        ("network", f"{100 * seconds['network_share']:.0f} % of the whole"),
    ):
        parts.append(f"  {name:<11}{_duration(seconds[name]):>8}   {told}")
    parts.append("")
    parts += _wrapped("rates    ", f"{plan['rates_from']}: {_rates(plan['rates'], outline['dim'])}")
    for number, one in enumerate(plan["assumptions"]):
        parts += _wrapped("assumed  " if number == 0 else " " * 9, one)
    return "\n".join(parts)


def _subjects(plan: Mapping[str, Any]) -> dict[str, str]:
    reads, products, solves = plan["reads"], plan["products"], plan["solves"]
    memory, disk, network = plan["memory"], plan["disk"], plan["network"]
    seconds = plan["seconds"]
    device = size_text(memory["planned"]["device"] + memory["own_sums"]["device"])
    host = size_text(memory["planned"]["host"] + memory["own_sums"]["host"])
    return {
        "reads": f"{size_text(reads['bytes'])} of states in {reads['passes']} + "
        f"{reads['second_passes']} pass(es) over a layer, {size_text(reads['by_process'])} by "
        f"process: {_duration(seconds['of_which_reading'])}",
        "products": f"{products['moments']:.3g} operations for moments, "
        f"{products['weighing']:.3g} for standard errors: "
        f"{_duration(seconds['of_which_products'])}",
        "solves": f"{solves['matrices']:,} matrices, {solves['of_order_dim']:,} of them of order "
        f"d; axes of {solves['axes']:,} groups: {_duration(seconds['solves_on_one_device'])} on "
        "one device",
        "memory": f"{host} of rows and moments on the host and {device} on a device, "
        f"{size_text(memory['carried_by_traces'])} of what traces carry and "
        f"{size_text(memory['index'])} of the index, by process and a layer at a time",
        "disk": f"{size_text(disk['shards'])} of shards, {size_text(disk['results'])} of results; "
        f"{size_text(disk['parts'])} of parts, if it is cut in as many as there are processes",
        "network": f"{size_text(network['sent_by_process'])} sent by process: a layer adds up "
        f"{size_text(network['moments'])} of moments, {size_text(network['rows'])} of rows and "
        f"{size_text(network['weighed'])} of what traces carry, and collects "
        f"{size_text(network['axes'])} of axes and {size_text(network['results'])} of results"
        if network["sent_by_process"]
        else "nothing is sent: one process",
    }


def _duration(seconds: float) -> str:
    if seconds >= 100 * 3600:
        return f"{seconds / 86400:,.0f} days"
    return duration_text(seconds) if seconds >= 1 else f"{seconds:.1g} s"


def _rates(rates: Mapping[str, float], dim: int) -> str:
    reduction = rates["reduce_constant"] + rates["reduce"] * dim**3
    axes = rates["axes_constant"] + rates["axes"] * dim**3
    return (
        f"products {rates['multiply'] / 1e12:.3g} TFLOP/s for moments and "
        f"{rates['weigh'] / 1e12:.3g} for weighing (2 n d^2 operations for n rows), a d x d "
        f"reduction {reduction:.2g} s, axes {axes:.2g} s, disk {size_text(int(rates['disk']))}/s, "
        f"network {size_text(int(rates['network']))}/s, {rates['keys']:.2g} random keys/s"
    )


def _wrapped(head: str, words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, initial_indent=head, subsequent_indent=" " * 9)
