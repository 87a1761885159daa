"""What `tests.test_mesh` compares on several virtual devices; prints one JSON document."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

import spectra
from spectra.backend import Backend
from spectra.backend.device import DeviceBackend
from spectra.backend.fast import FastBackend
from spectra.backend.mesh import MeshBackend
from tests.part_cases import CONFIG, unlike
from tests.tolerances import ROUNDING

COUNTS = (1, 2, 4, 8)
ONE_DEVICE = 24


def rows(count: int) -> NDArray[np.float32]:
    """Rows [count, ONE_DEVICE] in float32, whose sums are rounded."""
    rng = np.random.default_rng(count)
    scale = (1.0 + np.arange(ONE_DEVICE)) ** -0.5
    return (rng.standard_normal((count, ONE_DEVICE)) * scale + 2.0).astype(np.float32)


def weights(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """A statistic that counts all axes alike, and one that counts the first alone."""
    return np.stack([np.full(len(values), 1.0 / count), np.eye(1, len(values))[0]])


def apart(made: type[DeviceBackend], count: int) -> float:
    """How far a mesh's tridiagonal form is from that of one device, over its largest number."""
    devices = jax.local_devices(backend="cpu")[:count]
    shift, found = np.full(ONE_DEVICE, 1.5), []
    backend: Backend
    for backend in (made(devices[0]), MeshBackend([made(device) for device in devices])):
        x = rows(2477)
        one = backend.accumulate(backend.zeros(ONE_DEVICE), x[:1500], shift)
        other = backend.accumulate(backend.zeros(ONE_DEVICE), x[1500:], shift)
        found.append(backend.reduce_moments(backend.merge(one, other), shift))
    one_device, several = (reduced.raw.diag for reduced in found)
    return float(np.abs(several - one_device).max() / one_device.max())


def reduced_on(count: int) -> list[int]:
    """How many of so many devices take part in reductions that are begun side by side."""
    devices = jax.local_devices(backend="cpu")[:count]
    made = MeshBackend([DeviceBackend(device) for device in devices])
    chosen = []
    for _ in range(2):
        with ExitStack() as held:
            chosen.append(len({held.enter_context(made._least_busy()) for _ in range(count)}))
    return chosen


def main() -> None:
    """Runs by the command's own option on 2, 4 and 8 devices, sums on as many."""
    config, src = replace(CONFIG, layers=(1,), counts=(9,), pools=("mean",)), Path("cut")
    outs = {
        count: spectra.run(src, f"out{count}", replace(config, devices=count))[0].out
        for count in COUNTS
    }
    records = {count: json.loads((out / "run.json").read_text()) for count, out in outs.items()}
    found = {
        "devices": list(outs),
        "unlike": {n: unlike(outs[1], outs[n], ROUNDING.relative) for n in COUNTS[1:]},
        "counted": {n: records[n]["backend"]["count"] for n in COUNTS[1:]},
        "apart": {n: apart(DeviceBackend, n) for n in COUNTS},
        "fast apart": {n: apart(FastBackend, n) for n in COUNTS},
        "reduced on": reduced_on(4),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
