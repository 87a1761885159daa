"""Where the heavy arithmetic runs: one interface, a host and a device implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from spectra.backend.cores import one_thread_blas as one_thread_blas
from spectra.backend.cores import own_threads_blas as own_threads_blas
from spectra.backend.cores import usable_cores as usable_cores
from spectra.backend.precision import PRECISIONS as PRECISIONS
from spectra.backend.precision import Mode as Mode
from spectra.backend.precision import Precision as Precision
from spectra.backend.precision import advice, mode_on
from spectra.backend.sums import Sums as Sums
from spectra.errors import BackendUnavailableError, UsageError
from spectra.linalg import F64, Axes, Reduced, WeightsOf

if TYPE_CHECKING:
    import jax

BackendName = Literal["auto", "cpu", "gpu", "tpu"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

_INSTALL = {
    "gpu": 'pip install "spectra-metrics[cuda]"   (NVIDIA, CUDA 13)',
    "tpu": 'pip install "spectra-metrics[tpu]"',
}


class Backend(Protocol):
    """Products and reductions of groups of rows.

    `name` is the platform, `mode` how exact it is, `count` how many devices it has. Methods that
    take `Sums` may overwrite or donate the first one's arrays, the reductions excepted; `shift` [d]
    must be the same for sums that merge. Several threads may call at a time, each with sums of its
    own.
    """

    name: str
    mode: Mode
    count: int

    def moment_room(self, dim: int) -> int | None:
        """Bytes for moments of width dim in a memory of its own; None if they lie in the host's."""
        ...

    def with_less_room(self) -> Backend | None:
        """The same for less of its own memory, after that ran out; None where nothing is less."""
        ...

    def reduction(self, order: int, rows: bool) -> str:
        """What reduces matrices of this order, from rows or from moments, for people."""
        ...

    def zeros(self, dim: int) -> Sums:
        """The sums of no rows."""
        ...

    def accumulate(self, sums: Sums, rows: NDArray[np.generic], shift: F64) -> Sums:
        """`sums` with the rows [m, d] (any float dtype) added; the rows may change after."""
        ...

    def merge(self, into: Sums, other: Sums) -> Sums:
        """The sums of both sets of rows."""
        ...

    def whole(self, sums: Sums) -> Sums:
        """The same with one total and one Gram matrix, wherever rows were added up."""
        ...

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        """Tridiagonal form from the moments of at least one row."""
        ...

    def reduce_rows(self, rows: NDArray[np.generic]) -> Reduced:
        """Tridiagonal form from rows [n, d], n >= 1, by n x n products."""
        ...

    def axes(self, sums: Sums, shift: F64, centered: bool, weights_of: WeightsOf) -> Axes:
        """What says how much of M statistics each row of a group carries, from its moments."""
        ...

    def held(self, axes: Axes) -> Axes:
        """Axes that another process found, where `carried` wants them."""
        ...

    def carried(self, rows: NDArray[np.generic], of: Sequence[Axes]) -> list[F64]:
        """[m, M] what rows [m, d] of any float dtype carry of each of several groups."""
        ...

    def carried_by_few(
        self, rows: NDArray[np.generic], centered: bool, weights_of: WeightsOf
    ) -> F64:
        """[n, M] what the rows [n, d] of a group carry, n <= d, by n x n products."""
        ...


def select_backend(name: str = "auto", precision: Precision = "auto", devices: int = 0) -> Backend:
    """The backend of this name; "auto" takes what JAX prefers here.

    Of an accelerator all devices of this process work together, or as many as `devices` says. A
    CPU's cores are one device, unless JAX was told of more (--xla_force_host_platform_device_count)
    and more are asked for: that is slower, and for trying out what several devices do.

    Raises:
        UsageError: the name is none of auto, cpu, gpu, tpu, it has no such precision, or not so
            many devices.
        BackendUnavailableError: JAX sees no such device; the message has the install line.
    """
    found = find_devices(name)
    platform = found[0].platform
    mode = mode_on(platform, precision)
    if not 0 <= devices <= len(found):
        raise UsageError(
            f"devices is {devices}. Expected at most {len(found)}, which JAX has of {platform} in "
            "this process, or 0 for all."
        )
    if platform == "cpu" and devices < 2:
        from spectra.backend.host import HostBackend

        return HostBackend()
    from spectra.backend.device import ROWS_ON_HOST, DeviceBackend
    from spectra.backend.fast import FastBackend
    from spectra.backend.mesh import MeshBackend
    from spectra.backend.room import Room

    made = FastBackend if mode == "fast" else DeviceBackend
    each = [made(one, Room.of(one), ROWS_ON_HOST) for one in found[: devices or len(found)]]
    return each[0] if len(each) == 1 else MeshBackend(each)


def device_kind(backend: Backend) -> str:
    """What the device calls itself."""
    return str(find_devices(backend.name)[0].device_kind)


def precision_advice(backend: Backend, precision: Precision) -> tuple[str, ...]:
    """A sentence where `--precision fast` would multiply much faster: measured, on a GPU alone."""
    if backend.name != "gpu" or precision != "auto":
        return ()
    return advice(find_devices(backend.name)[0])


def find_devices(name: str = "auto") -> list[jax.Device]:
    """This process's devices of the platform of this name; raises as `select_backend`."""
    import jax

    if name not in BACKENDS:
        raise UsageError(f"backend {name!r} is not known. Expected one of: {', '.join(BACKENDS)}.")
    try:
        platform = jax.default_backend() if name == "auto" else name
        devices: list[jax.Device] = jax.local_devices(backend=platform)
        return devices
    except RuntimeError as error:
        raise BackendUnavailableError(
            f"--backend {name}: JAX {jax.__version__} sees no {name} here (devices: "
            f"{', '.join(str(d) for d in jax.devices())}). Install support with\n  "
            f"{_INSTALL[name]}\n"
            "or run with --backend cpu."
        ) from error
