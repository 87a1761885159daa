"""Traces made from templates: real problems worked step by step, right by construction.

They stand in for a model's own writing where none is at hand. Every number in them is computed; a
step that states something wrong says so in its field `slip` and is mended in the steps after it.
Categories are those of Thought Anchors.
"""

from __future__ import annotations

from extract.traces._trace import Trace
from extract.traces.samples import (
    clock,
    divisibility,
    equations,
    knights,
    multiplication,
    rates,
)
from extract.traces.samples._draw import Draw
from extract.traces.samples._problem import Family, Problem
from extract.traces.samples._script import Script

FAMILIES: tuple[Family, ...] = (
    multiplication.draw,
    knights.draw,
    rates.draw,
    equations.draw,
    clock.draw,
    divisibility.draw,
)

GENERATOR = "templates (extract.traces.samples)"


def sample_traces(count: int = 24, *, seed: int = 0) -> list[Trace]:
    """`count` traces; the same seed gives the same, with more of them where `count` is larger.

    Problems take the families in turn. Every fourth trace is another way of thinking through the
    problem of three traces before, and has its `problem_id`.
    """
    return [_trace(number, seed) for number in range(count)]


def _trace(number: int, seed: int) -> Trace:
    group, place = divmod(number, 4)
    problem = _problem(3 * group + place % 3, seed)
    script = Script(Draw(seed, 1, number))
    problem.solve(script)
    response, steps = script.written()
    return Trace(
        trace_id=f"sample-{seed}-{number:04d}",
        problem_id=problem.key,
        generator=GENERATOR,
        messages=({"role": "user", "content": problem.question},),
        response=response,
        steps=steps,
        metadata={"family": problem.key.partition("-")[0], "answer": problem.answer},
    )


def _problem(number: int, seed: int) -> Problem:
    return FAMILIES[number % len(FAMILIES)](Draw(seed, 0, number))
