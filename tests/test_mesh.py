"""Several devices of one process: virtual ones of JAX's CPU client, in a process of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import spectra
from spectra import pipeline
from spectra.backend import Backend, Sums, select_backend
from spectra.backend.device import ROWS_PER_UPDATE, DeviceBackend
from spectra.backend.fast import FastBackend
from spectra.backend.mesh import MeshBackend
from spectra.backend.room import Room
from spectra.errors import UsageError
from tests.loopback import QUICK, together
from tests.mesh_cases import ONE_DEVICE, rows, weights
from tests.part_cases import CONFIG, unlike, write
from tests.tolerances import ROUNDING

pytestmark = pytest.mark.usefixtures("quick_compiles")

CPU = jax.local_devices(backend="cpu")[0]


def mesh(made: type[DeviceBackend] = DeviceBackend) -> MeshBackend:
    return MeshBackend([made(CPU)])


def test_runs_and_reductions_on_1_2_4_and_8_devices(tmp_path: Path) -> None:
    """Rows that no number of devices divides; see `tests.mesh_cases` for what is compared."""
    write(tmp_path / "cut", [40, 61, 3, 0, 90, 17])
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", **QUICK}
    (ended,) = together([["-m", "tests.mesh_cases"]], tmp_path, environment=flags)
    assert ended.code == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout)
    assert found["devices"] == [1, 2, 4, 8]
    assert found["unlike"] == {str(count): [] for count in (2, 4, 8)}
    assert found["counted"] == {str(count): count for count in (2, 4, 8)}
    assert max(found["apart"].values()) <= ROUNDING.relative
    assert max(found["fast apart"].values()) <= 1e-6
    assert found["reduced on"] == [4, 4]


def test_the_mesh_of_one_gives_the_bytes_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src, outs = write(tmp_path / "cut", [40, 61, 3]), []
    for name, made in (("device", DeviceBackend(CPU)), ("mesh", mesh())):
        monkeypatch.setattr(pipeline, "select_backend", lambda *_, made=made: made)
        (run,) = spectra.run(
            src, tmp_path / name, replace(CONFIG, layers=(1,), pools=("all", "mean"))
        )
        outs.append(run.out)
    assert unlike(outs[0], outs[1], 0.0) == []


@pytest.mark.parametrize("made", [DeviceBackend, FastBackend])
def test_sums_that_are_whole_are_added(made: type[DeviceBackend]) -> None:
    """Those of another process, or of a part's file."""
    x, shift = rows(900), np.full(ONE_DEVICE, 1.5)
    one: Backend
    found = []
    for one in (made(CPU), mesh(made)):
        here = one.accumulate(one.zeros(ONE_DEVICE), x[:500], shift)
        there = one.whole(one.accumulate(one.zeros(ONE_DEVICE), x[500:], shift))
        sent = Sums(there.rows, np.asarray(there.total), np.asarray(there.gram))
        found.append(one.reduce_moments(one.merge(here, sent), shift))
    assert found[0].energy == pytest.approx(found[1].energy, rel=1e-14)
    np.testing.assert_allclose(found[0].raw.diag, found[1].raw.diag, rtol=1e-6)


def test_what_rows_carry_is_found_on_any_device() -> None:
    x, shift = rows(300), np.zeros(ONE_DEVICE)
    sums = mesh().accumulate(mesh().zeros(ONE_DEVICE), x, shift)
    plain = DeviceBackend(CPU)
    own = plain.accumulate(plain.zeros(ONE_DEVICE), x, shift)
    axes, theirs = (
        mesh().axes(sums, shift, True, weights),
        plain.axes(own, shift, True, weights),
    )
    found = mesh().carried(x, [axes, mesh().held(theirs)])
    for one in found:
        np.testing.assert_allclose(one, plain.carried(x, [theirs])[0], rtol=1e-9)
    few = mesh().carried_by_few(x[:9], True, weights)
    np.testing.assert_array_equal(few, plain.carried_by_few(x[:9], True, weights))


def test_room_is_that_of_the_device_with_the_least() -> None:
    rooms = [Room(1 << 32), Room(1 << 30)]
    made = MeshBackend([DeviceBackend(CPU, room) for room in rooms[:1]])
    assert made.moment_room(64) == rooms[0].moments(64)
    assert mesh().moment_room(64) is None
    smaller = made.with_less_room()
    assert smaller is not None
    assert smaller.moment_room(64) == Room(1 << 31).moments(64)
    assert mesh().with_less_room() is None
    assert made.reduction(64, rows=False) == DeviceBackend(CPU).reduction(64, rows=False)


def test_more_devices_than_there_are() -> None:
    count = len(jax.local_devices(backend="cpu"))
    with pytest.raises(UsageError, match=rf"devices is {count + 1}. Expected at most {count}"):
        select_backend("cpu", devices=count + 1)
    assert select_backend("cpu", devices=1).count == 1


def test_long_blocks_are_cut() -> None:
    x, shift = rows(2 * ROWS_PER_UPDATE + 77), np.full(ONE_DEVICE, 2.0)
    found: Sequence[Any] = [
        one.reduce_moments(one.accumulate(one.zeros(ONE_DEVICE), x, shift), shift)
        for one in (DeviceBackend(CPU), mesh())
    ]
    assert found[0].raw.diag.tobytes() == found[1].raw.diag.tobytes()
