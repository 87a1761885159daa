"""`--distributed`: a command that several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from spectra.errors import UsageError

if TYPE_CHECKING:
    from spectra.distributed import Processes

Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Share the work with the job's other processes, which run the same command. Slurm, "
        "Open MPI, Kubernetes and TPU pods are found; elsewhere give the next three options.",
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="With --distributed: where process 0 is reached."),
]
NumProcesses = Annotated[
    int | None, typer.Option(metavar="N", help="With --distributed: how many processes there are.")
]
ProcessId = Annotated[
    int | None,
    typer.Option(metavar="I", help="With --distributed: the number of this one, from 0."),
]


@contextmanager
def processes(
    command: str,
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    left: str = "",
) -> Iterator[Processes]:
    """The processes that share a command, for as long as the block lasts.

    `left` says what a process leaves behind when another ends; nothing, if that is empty.

    Raises:
        UsageError: options that do not go together, or copies that know nothing of each other.
        PeerError: another process ended.
    """
    from spectra.distributed import ALONE, NOTHING, Cluster, connect, refuse_copies

    cluster = Cluster(coordinator, num_processes, process_id)
    if distributed:
        with connect(cluster, left or NOTHING) as found:
            yield found
        return
    if cluster.given:
        raise UsageError(
            "--coordinator, --num-processes and --process-id go with --distributed. Expected all "
            "of them, or none."
        )
    refuse_copies(command)
    yield ALONE
