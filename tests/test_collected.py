"""Shares of any cut add up to what one pass over all rows collects."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectra.artifacts import RowReader, open_artifact, write_artifact
from spectra.backend import Backend
from spectra.backend.fast import FastBackend
from spectra.backend.host import HostBackend
from spectra.categories import load_map
from spectra.engine import Collected, Merged, PoolPlan, Share, collect_shares, pilot, plan_layer
from spectra.engine.clock import Clock
from spectra.engine.collect import Collector, RowStore
from spectra.engine.collected import packed, unpacked
from spectra.engine.config import RunConfig
from spectra.engine.energies import Energies
from spectra.engine.evaluate import LayerPlan
from spectra.engine.memory import Limit
from spectra.engine.source import STREAMED, Source
from spectra.engine.stream import Stream
from spectra.grouping import Steps
from tests.part_cases import DIM, states, traces

HOST = HostBackend(1)


def held(
    plan: LayerPlan, reader: RowReader, source: Source, backend: Backend
) -> tuple[list[tuple[Collector, Energies]], Stream]:
    """What the collectors of all pools hold after a source has filled them."""
    shift, made = source.shift(reader), []
    categories = range(len(plan.pools[0].rows.atoms.categories))
    for pool in plan.pools:
        dtype = np.dtype(np.float64) if pool.rows.pool == "mean" else reader.dtype
        energies, lasting = Energies(), RowStore(pool.lasting, pool.dim, dtype)
        stored = pool.stored(categories)
        made.append((Collector(pool, stored, lasting, dtype, shift, backend, energies), energies))
    stream = Stream(reader, plan.pairs, Clock())
    source.fill([collector for collector, _ in made], categories, stream, lambda rows: None)
    for collector, _ in made:
        collector.finish()
    return made, stream


def merged(plan: LayerPlan, reader: RowReader, borders: Sequence[int], backend: Backend) -> Merged:
    """From shares cut at these rows, each kept as arrays; they are collected in reverse."""
    shift, bad = pilot(reader), []
    parts: list[list[Collected]] = []
    for start, stop in reversed(list(pairwise(borders))):
        shares = [Share.of(pool, start, stop) for pool in plan.pools]
        found, wrong = collect_shares(shares, reader, shift, backend, lambda rows: None)
        kept = [Collected.from_arrays(one.share, one.to_arrays()) for one in found]
        parts.insert(0, kept)
        bad.append(wrong)
    return Merged(shift, np.concatenate(bad), parts)


def stored_rows(plan: PoolPlan) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers of all that is kept as rows."""
    everything = range(len(plan.rows.atoms.categories))
    return np.union1d(plan.stored(everything), plan.lasting)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, list[int], list[int], tuple[int, ...], int]:
    """A seed, the traces' lengths, borders of parts, bad rows, and tokens left out of a trace."""
    lengths = draw(st.lists(st.integers(0, 60), min_size=1, max_size=4).filter(sum))
    total = sum(lengths)
    inner = draw(st.lists(st.integers(0, total), max_size=5))
    bad = draw(st.lists(st.integers(0, total - 1), max_size=2))
    seed, dropped = draw(st.integers(0, 999)), draw(st.integers(0, 4))
    return seed, lengths, [0, *sorted(inner), total], tuple(bad), dropped


def check(
    drawn: tuple[int, list[int], list[int], tuple[int, ...], int], backend: Backend, bar: float
) -> int:
    """Compare the sums and rows of a cut with those of one pass; how many atoms have moments."""
    seed, lengths, borders, bad, dropped = drawn
    rng, atoms = np.random.default_rng(seed), 0
    samples = traces(rng, lengths)
    config = RunConfig(num_bins=1, counts=(4, 9), repeats=1)
    starts = [
        np.arange(one.global_offset, one.global_offset + min(dropped, one.num_tokens))
        for one in samples
    ]
    with tempfile.TemporaryDirectory() as directory:
        write_artifact(
            *(Path(directory),),
            model="m",
            layers={1: states(rng, sum(lengths), bad)},
            samples=samples,
            final_norm=None,
            shard_rows=40,
        )
        artifact = open_artifact(directory)
        steps = Steps.of(samples, load_map("identity"))
        out = np.concatenate([np.empty(0, np.int64), *starts])
        plan = plan_layer(steps, DIM, 4, config, Limit(1 << 40), out)
        with artifact.open_rows(artifact.layer()) as reader:
            one, stream = held(plan, reader, STREAMED, backend)
            other, later = held(plan, reader, merged(plan, reader, borders, backend), backend)
    assert set(later.bad) <= set(bad) | set(stream.bad)
    needed = plan.pairs.hold(np.array(sorted(set(bad)), np.int64))
    assert set(np.array(sorted(set(bad)), np.int64)[needed]) <= set(later.bad)
    for (a, energies), (b, others) in zip(one, other, strict=True):
        numbers = stored_rows(a.plan)
        found, expected = b.rows(numbers), a.rows(numbers)
        if a.plan.rows.pool == "mean":
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        else:
            np.testing.assert_array_equal(found, expected)
        assert a.moments.keys() == b.moments.keys()
        for atom, sums in a.moments.items():
            atoms += 1
            assert b.moments[atom].rows == sums.rows
            scale = max(1.0, float(np.abs(np.asarray(sums.gram)).max()))
            lower = np.tril(np.asarray(b.moments[atom].gram) - np.asarray(sums.gram))
            assert np.abs(lower).max() <= bar * scale
            total = np.asarray(b.moments[atom].total) - np.asarray(sums.total)
            assert np.abs(total).max() <= bar * scale
            ours, theirs = others.by_atom[atom], energies.by_atom[atom]
            assert (ours.rows, ours.number) == (theirs.rows, theirs.number)
            np.testing.assert_allclose(ours.total, theirs.total, rtol=1e-12, atol=1e-9)
            np.testing.assert_allclose(ours.squares, theirs.squares, rtol=1e-12)
    return atoms


@settings(max_examples=40)
@given(cuts())
def test_any_cut_adds_up_to_the_whole(
    drawn: tuple[int, list[int], list[int], tuple[int, ...], int],
) -> None:
    check(drawn, HOST, 1e-12)


def test_pairs_of_float32_add_up() -> None:
    drawn = 3, [60, 60, 40], [0, 13, 50, 51, 120, 160], (20,), 1
    assert check(drawn, FastBackend(jax.devices("cpu")[0]), 1e-6) > 4
    assert check(drawn, HOST, 1e-12) > 4


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (2, 4, 4)])
def test_a_triangle_has_the_whole_matrix(shape: tuple[int, ...]) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape)
    symmetric = matrix + np.swapaxes(matrix, -1, -2)
    np.testing.assert_array_equal(unpacked(packed(symmetric)), symmetric)
    np.testing.assert_array_equal(unpacked(packed(np.tril(symmetric))), symmetric)
