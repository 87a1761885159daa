"""Exact or fast: which of them a device computes in, and where the other would pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from spectra.errors import UsageError

if TYPE_CHECKING:
    import jax

Mode = Literal["exact", "fast"]
"""In float64, or with float32 products on an accelerator."""

Precision = Literal["auto", "exact", "fast"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

BARS: Mapping[Mode, float] = {"exact": 1e-9, "fast": 1e-3}
"""How far a statistic may be from that of a float64 SVD of the rows, relatively."""

WORTH_SAYING = 4.0
"""Float32 products so many times faster than float64 ones are worth a line. A device that computes
in float64 at the full or at half the rate does not get there, one at 1/32 or 1/64 does."""


def mode_on(platform: str, precision: Precision) -> Mode:
    """How to compute on a platform: "auto" is exact where there is float64, and fast on a TPU.

    Raises:
        UsageError: the platform has no such precision.
    """
    if platform == "cpu" and precision == "fast":
        # Neither float32 for a gain that reductions, bound by memory, would not show, nor an exact
        # run under a flag that says otherwise.
        raise UsageError(
            "--precision fast is for accelerators; a CPU computes in float64 always. Leave "
            "--precision out, or choose an accelerator with --backend."
        )
    if platform == "tpu" and precision == "exact":
        raise UsageError(
            "--precision exact needs float64, which a TPU does not have. Leave --precision out for "
            f"results within {BARS['fast']:g}, or run with --backend cpu."
        )
    if precision == "auto":
        return "fast" if platform == "tpu" else "exact"
    return precision


def advice(device: jax.Device) -> tuple[str, ...]:
    """A sentence where float32 products are much faster than float64 ones, as measured now."""
    from spectra.backend.probe import float32_gain

    gain = float32_gain(device)
    if gain < WORTH_SAYING:
        return ()
    return (
        f"float64 products are slow on {device.device_kind}: with --precision fast they would be "
        f"about {gain:.0f} times faster, and results within {BARS['fast']:g} instead of "
        f"{BARS['exact']:g}.",
    )
