"""The card a benchmark prints before it measures: what, on what, and what could be had at best."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_info

from bench._timing import take_turns
from spectra.backend import usable_cores
from spectra.provenance import versions

_ROOT = Path(__file__).parent.parent
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")

Card = dict[str, Any]


def card(bench: str, measures: str, sizes: Mapping[str, Any], floor: Mapping[str, Any]) -> Card:
    """All that a figure needs beside it; `floor` says what the best possible is, and why."""
    return {
        "bench": bench,
        "measures": measures,
        "sizes": dict(sizes),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "hardware": _hardware(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "versions": versions(),
        "blas": [_library(found) for found in threadpool_info() if found["user_api"] == "blas"],
        "environment": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        "floor": dict(floor),
    }


def lines(what: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """The card as text: a line a value, what is nested below its name."""
    for name, value in what.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, Mapping) and value:
            yield label
            yield from lines(value, indent + "  ")
            continue
        items = value if isinstance(value, list | tuple) else [value or "none"]
        text = ", ".join(map(_inline, items))
        first, *rest = wrap(text, 100) or [""]
        yield f"{label:<24} {first}"
        yield from (f"{'':<24} {line}" for line in rest)


def rates(platform: str, order: int, copied_bytes: int) -> dict[str, float]:
    """What the machine's libraries and memory do: the measured part of a floor.

    Args:
        platform: "cpu" for the BLAS on all cores, else JAX's name of the accelerator.
        order: of the matrices; `gemm` is [order, order] squared, `syrk` X'X for X [4 order, order],
            which an accelerator by XLA does not have.
        copied_bytes: size of the array that is copied, each byte counting once read, once written;
            eight times as much on an accelerator, where a shorter copy would not outlast its call.
    """
    if platform == "cpu":
        return _host_rates(order, copied_bytes)
    return _device_rates(jax.devices(platform)[0], order, 8 * copied_bytes)


def _host_rates(order: int, copied_bytes: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    square, tall = rng.standard_normal((order, order)), rng.standard_normal((4 * order, order))
    source = np.ones(copied_bytes // 8)
    target = np.empty_like(source)
    tasks = {
        "gemm": lambda: square @ square,
        "syrk": lambda: blas.dsyrk(1.0, tall.T, lower=1),
        "copy": lambda: np.copyto(target, source),
    }
    _, timings = take_turns(tasks, 5)
    return {
        "float64_gemm_gflops": round(2 * order**3 / timings["gemm"].median / 1e9, 1),
        "float64_syrk_gflops": round(4 * order**3 / timings["syrk"].median / 1e9, 1),
        "copy_gbytes_per_s": round(2 * source.nbytes / timings["copy"].median / 1e9, 1),
    }


def _device_rates(device: jax.Device, order: int, copied_bytes: int) -> dict[str, float]:
    with jax.enable_x64(True), jax.default_device(device):
        square = jnp.ones((order, order), jnp.float64)
        source = jnp.ones(copied_bytes // 8, jnp.float64)
        multiply = jax.jit(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST))
        _, timings = take_turns({"gemm": lambda: multiply(square), "copy": source.copy}, 5)
    return {
        "float64_gemm_gflops": round(2 * order**3 / timings["gemm"].median / 1e9, 1),
        "copy_gbytes_per_s": round(2 * source.nbytes / timings["copy"].median / 1e9, 1),
    }


def _inline(item: object) -> str:
    return " ".join(f"{k}={v}" for k, v in item.items()) if isinstance(item, Mapping) else str(item)


def _library(found: Mapping[str, Any]) -> dict[str, Any]:
    # A wheel keeps its BLAS in PACKAGE.libs; of the path, only that is anyone else's business.
    place = Path(found["filepath"]).parent.name
    return {
        "library": found["internal_api"],
        "version": found["version"],
        "of": place.removesuffix(".libs"),
        "threads": found["num_threads"],
    }


def _hardware() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "memory_gib": round(memory / 2**30, 1),
        "jax_devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The checkout's commit, marked where files differ from it; None outside a checkout."""

    def git(*args: str) -> str:
        command = ("git", "-C", str(_ROOT), *args)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain")
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
