"""Whether the disk has room for a run's files, asked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spectra.atomic import free_bytes
from spectra.engine import PoolPlan
from spectra.errors import OutputError

RECORD_BYTES = 6000
"""A group in all files together; 18 real traces in four pools take 5,000 on the average."""

POINT_BYTES = 300
"""A count of a sweep's curve, with its part of the table."""

PROFILE_BYTES = 1200
"""A layer of a group in layer_profile.json."""

INFLUENCE_BYTES = 150
"""A trace's line in the table of influences, for each group and pool."""


def expected_bytes(plans: Sequence[PoolPlan], traces: int) -> int:
    """About what the pools' files will take; `traces` where influences are written, else 0.

    `plans` are of every layer and pool: of several layers there is a profile, too.
    """
    total, pools = 0, {plan.rows.pool for plan in plans}
    profile = PROFILE_BYTES * (len(plans) > len(pools))
    for plan in plans:
        atoms = plan.rows.atoms
        groups = len(atoms.basic_groups()) + len(atoms.depth_groups())
        points = len({(s.group, count) for s in plan.samples for count in s.counts})
        total += len(atoms.sweep_groups()) * profile
        total += groups * (RECORD_BYTES + INFLUENCE_BYTES * traces) + points * POINT_BYTES
    return total


def check_space(out: Path, needed: int) -> None:
    """Raise `OutputError` unless the disk of `out`, which need not be there, has so many bytes.

    An earlier run's files stand until the new ones are whole, so theirs do not count.
    """
    free = free_bytes(out)
    if needed > free:
        raise OutputError(
            f"{out}: the metric files need about {needed / 1e6:,.0f} MB, and the disk has "
            f"{free / 1e6:,.0f} MB free. Nothing was computed or written. Expected room for them: "
            "free some, choose another --out, or ask for fewer layers, pools or depth bins."
        )
