"""A device's memory: how it is split, what is refused, and that less of it changes no number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spectra
from spectra.backend import device as exact
from spectra.backend import fast
from spectra.backend.device import DeviceBackend
from spectra.backend.host import HostBackend
from spectra.backend.room import FREE_SHARE, SMALLEST_BLOCK, TURNS, WAITING, Room
from spectra.engine import plan
from spectra.engine.memory import Bytes, Limit
from spectra.errors import UsageError
from spectra.outputs import FILES
from spectra.preparation import prepare
from tests.test_engine import CONFIG, DIM, make, numbers

CPU = jax.devices("cpu")[0]


# ---- how it is split ----------------------------------------------------------------------------


def test_moments_lie_where_the_limit_says() -> None:
    assert Limit(10).place(3, 4) == Bytes(7, 0)
    assert Limit(10, 5).place(3, 4) == Bytes(3, 4)
    assert Limit(7).holds(Bytes(7))
    assert not Limit(7).holds(Bytes(8))
    assert not Limit(7, 0).holds(Bytes(0, 1))
    assert not Limit(2, 9).holds(Bytes(3, 4))
    assert Bytes(1, 5).larger(Bytes(2, 3)) == Bytes(2, 5)


@given(total=st.integers(0, 1 << 40), dim=st.integers(1, 8192))
def test_what_runs_and_what_stays_fit_together(total: int, dim: int) -> None:
    room = Room(total)
    stays, runs = room.moments(dim), room.work(dim)
    assert stays == 0 or stays + runs == total
    rows = room.block_rows(dim, 512)
    assert SMALLEST_BLOCK <= rows <= 512
    waiting = 8 * WAITING * rows * dim
    size = max(dim, SMALLEST_BLOCK)
    assert waiting + TURNS * 8 * (size * dim + size**2) <= runs


def test_a_larger_device_has_larger_blocks() -> None:
    small, large = Room(6 << 30), Room(120 << 30)
    assert small.block_rows(4096, 512) < large.block_rows(4096, 512) == 512


def test_a_device_that_does_not_tell_its_memory_shares_the_hosts() -> None:
    class Device:
        def __init__(self, told: dict[str, int] | None) -> None:
            self.told = told

        def memory_stats(self) -> dict[str, int] | None:
            return self.told

    def room(told: dict[str, int] | None) -> Room | None:
        device: Any = Device(told)
        return Room.of(device)

    assert room({"bytes_limit": 1000, "bytes_in_use": 100}) == Room(int(FREE_SHARE * 900))
    assert room(None) is room({}) is room({"bytes_limit": -1}) is Room.of(CPU) is None
    assert DeviceBackend(CPU).moment_room(8) is None


def test_programs_take_no_more_than_is_planned_for_them() -> None:
    dim = 256
    room, f64, f32 = Room(0), jnp.float64, jnp.float32
    moments, group = 8 * dim**2, 3 * 8 * dim**2

    def taken(program: Any, *shapes: Any) -> int:
        arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
        told = program.lower(*arguments).compile().memory_analysis()
        sizes = told.argument_size_in_bytes, told.output_size_in_bytes, told.temp_size_in_bytes
        return int(sum(sizes) - told.alias_size_in_bytes)

    sums = ((dim,), f64), ((dim, dim), f64)
    pair = ((2, dim), f32), ((2, dim, dim), f32)
    count, work = ((), f64), room.work(dim) - 8 * (2 * dim**2 + (WAITING + 3) * 64 * dim)
    reduction = work / TURNS
    with jax.enable_x64(True):
        updates = [taken(exact.update_moments, *sums, ((64, dim), f64), ((), jnp.int64), sums[0])]
        for some, program in ((sums, exact._reduce_moments), (pair, fast._reduce_moments)):
            assert taken(program, count, *some, sums[0]) - moments <= reduction
        assert taken(exact._reduce_rows, ((dim, dim), f64), ((), f64)) <= reduction
    with jax.enable_x64(False):
        shift = ((dim,), f32)
        updates += [taken(fast.update_moments, *pair, ((64, dim), f32), ((), jnp.int32), shift)]
        assert taken(fast._reduce_rows, ((dim, dim), f32), ((dim,), f32)) <= reduction
        assert taken(fast._row_products, ((dim, dim), f32)) <= reduction
    assert max(updates) - moments <= 8 * (2 * dim**2 + 3 * 64 * dim) + group // dim


# ---- what it means for a run --------------------------------------------------------------------


def tight(src: Path, room: int = 0) -> DeviceBackend:
    """A device that has `room` bytes more than the least with which the artifact can be run."""
    (whole,) = prepare(src, CONFIG, HostBackend(1)).plans
    least = max(one.planned.device for one in plan.rounds(whole.pools, Limit(1 << 60, 0)))
    return DeviceBackend(CPU, room=Room(Room(0).work(DIM) + least + room))


def test_a_small_device_takes_turns_in_small_blocks_and_gives_the_hosts_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = make(tmp_path / "m")
    (host,) = spectra.run(src, tmp_path / "host", CONFIG)
    made = tight(src)
    shapes = set()

    def watching(*arguments: Any) -> Any:
        shapes.add(arguments[2].shape)
        return arithmetic.update(*arguments)

    arithmetic = exact.EXACT
    monkeypatch.setattr(exact, "EXACT", replace(arithmetic, update=watching))
    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: made)
    (run,) = spectra.run(src, tmp_path / "device", CONFIG)
    assert shapes == {(SMALLEST_BLOCK, DIM)}
    recorded = json.loads((run.out / "run.json").read_text())
    assert recorded["passes"] > 4
    assert 0 < recorded["planned_bytes"]["device"] <= made.moment_room(DIM)
    assert recorded["planned_bytes"]["host"] > 0
    assert recorded["precision"]["mode"] == "exact"
    for path in sorted(host.out.rglob("*.json")):
        if path.name in FILES:
            same = run.out / path.relative_to(host.out)
            a, b = (json.loads(file.read_text()) for file in (path, same))
            # Spreads and disagreements of zero are rounding: they have no digits to compare.
            assert numbers(a) == pytest.approx(numbers(b), rel=1e-9, abs=1e-9)


def test_what_does_not_fit_the_device_is_refused_with_the_numbers(tmp_path: Path) -> None:
    src = make(tmp_path / "m")
    prepare(src, CONFIG, tight(src))
    message = r"moments need at least .* MB on cpu, one pool .* end other programs there"
    with pytest.raises(UsageError, match=message):
        prepare(src, CONFIG, tight(src, -1))


def test_rows_must_still_fit_the_host(tmp_path: Path) -> None:
    src = make(tmp_path / "m")
    little = spectra.RunConfig(backend="cpu", max_memory=10)
    with pytest.raises(UsageError, match=r"rows need at least .* --max-memory is"):
        prepare(src, little, tight(src, 1 << 20))
