"""How processes were started: what the user says of them, and what a scheduler's variables say."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from spectra.errors import UsageError

_TASKS = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpiexec",
}
"""Where a launcher says how many copies of a command it started."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the processes meet. What is None JAX finds out from the scheduler.

    Attributes:
        coordinator: address and port of process 0, HOST:PORT.
        num_processes: how many there are.
        process_id: the number of this one, from 0.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None

    def __post_init__(self) -> None:
        """Check it."""
        count, number = self.num_processes, self.process_id
        if count is not None and count < 1:
            raise UsageError(f"num_processes is {count}. Expected 1 or more.")
        if number is not None and not 0 <= number < (count or number + 1):
            raise UsageError(
                f"process_id is {number} of {count} processes. Expected a number from 0 to one "
                "less than there are."
            )
        where = "host:1" if self.coordinator is None else self.coordinator
        host, _, port = where.rpartition(":")
        # Without a host JAX would wait for it in vain, for minutes.
        if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
            raise UsageError(
                f"coordinator is {self.coordinator!a}. Expected HOST:PORT, the address of process "
                "0 as all others reach it and a port that is free there."
            )

    def check_port(self) -> None:
        """Raise `UsageError` where process 0 is to listen on a port that is taken.

        JAX would end there by a segmentation fault, or two runs would take each other's answers.
        """
        if self.coordinator is None or self.process_id != 0:
            return
        port = int(self.coordinator.rpartition(":")[2])
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of one that just ended
            try:
                probe.bind(("", port))
            except OSError as error:
                raise UsageError(
                    f"port {port} of coordinator {self.coordinator!a} cannot be listened on: "
                    f"{error.strerror}. Expected one that is free on the machine of process 0."
                ) from None

    @property
    def given(self) -> bool:
        """Whether the user said anything."""
        return (self.coordinator, self.num_processes, self.process_id) != (None, None, None)


def refuse_copies(command: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise `UsageError` where a launcher started several copies that know nothing of each other.

    They would all do the same work, and race for one output.
    """
    for variable, launcher in _TASKS.items():
        tasks = environment.get(variable, "")
        if tasks.isdecimal() and int(tasks) > 1:
            raise UsageError(
                f"{launcher} started {int(tasks)} copies of this command ({variable}={tasks}), "
                f"which would all do the same work. Expected `{command} --distributed`, with which "
                "they share it, or one copy alone."
            )
