"""Processes that JAX's coordination service connects."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.distributed.launched import Cluster
from spectra.distributed.processes import ALONE, Processes, Traffic
from spectra.distributed.watch import NOTHING, Watch
from spectra.distributed.wire import Wire
from spectra.errors import DisagreementError, PeerError, UsageError
from spectra.strict_json import JSON, differences, dumps, loads

CONNECTING = 300
"""Seconds that processes have to find each other: batch systems start them one after the other."""

LEAVING = 10
"""Seconds to part in; who is left waits no longer."""

_ASKING = 1000
"""Milliseconds that a question waits in native code, deaf to signals and to news of peers."""


@contextmanager
def connect(cluster: Cluster, left: str = NOTHING) -> Iterator[Processes]:
    """The processes of this run, until the block ends; before JAX is used for anything.

    An error in the block, Ctrl-C and SIGTERM included, ends the others too: they raise `PeerError`
    with its message where they next wait for each other, or are ended after `watch.GRACE` seconds.
    `left` says in that case what process {rank} has left behind.

    Raises:
        UsageError: JAX cannot tell which processes there are, or they do not find each other.
        PeerError: another process ended.
    """
    client, rank, count = _client(cluster)
    if count == 1:
        yield ALONE
        return
    try:
        peers = Connected(client, rank, count, lambda: _quiet(lambda: Wire(rank, count)), left)
    except BaseException as error:
        _leave_no_farewell(error)
        raise
    try:
        yield peers
        peers.gather("end", "done")
    except BaseException as error:
        peers.fail(error)
        raise
    peers.leave()


def _client(cluster: Cluster) -> tuple[Any, int, int]:
    """JAX's connection to process 0, and this process's rank of how many."""
    import jax
    from jax._src import distributed  # its store of keys and values has no public name

    cluster.check_port()
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.num_processes,
            cluster.process_id,
            initialization_timeout=CONNECTING,
            shutdown_timeout_seconds=LEAVING,
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"the processes did not find each other: {str(error).splitlines()[0]} Expected a "
            "scheduler that JAX knows (Slurm, Open MPI, Kubernetes, a TPU pod), or --coordinator "
            "HOST:PORT, --num-processes and --process-id given to each of them."
        ) from None
    state = distributed.global_state
    return state.client, int(state.process_id), int(state.num_processes or 1)


class Connected:
    """One of several processes."""

    def __init__(
        self,
        client: Any,
        rank: int,
        count: int,
        wire: Callable[[], Wire],
        left: str = NOTHING,
    ) -> None:
        """Over a `client` of JAX's coordination service; all of them make their `wire` at once.

        `left` says what process {rank} leaves behind when another ends.
        """
        self.rank, self.count, self._left = rank, count, left.format(rank=rank)
        self.traffic = Traffic()
        self._client, self._asked = client, 0
        self._watch = Watch(client, rank, count, left=left)
        try:
            hosts = self.gather("host", socket.gethostname())
        except DisagreementError as error:
            self.fail(error)
            raise
        self._watch.hosts = [str(host) for host in hosts]
        self._wire: Wire = self._try(wire)

    def gather(self, what: str, value: JSON) -> list[JSON]:
        """As `Processes` has it."""
        number, self._asked = self._asked, self._asked + 1
        sent = dumps({"what": what, "of": self.count, "value": value}, indent=None)
        self._try(lambda: self._client.key_value_set(f"spectra/{number}/{self.rank}", sent))
        answers, begin = [], time.perf_counter()
        for rank in range(self.count):
            where = f"what process {rank} said"
            told = loads(self._answer(f"spectra/{number}/{rank}").encode(), where=where)
            if isinstance(told, dict) and told.get("of") != self.count:
                raise DisagreementError(
                    f"process {rank} is one of {told.get('of')}, process {self.rank} one of "
                    f"{self.count}. Expected the same --num-processes in all of them."
                )
            if not isinstance(told, dict) or told.get("what") != what:
                raise DisagreementError(
                    f"process {rank} of {self.count} is not where process {self.rank} is: {told} "
                    f"there, {what} here. Expected the same command, options and version of "
                    "Spectra in all processes."
                )
            answers.append(told["value"])
        self.traffic.waiting_seconds += time.perf_counter() - begin
        return answers

    def agree(self, what: str, value: JSON) -> None:
        """As `Processes` has it."""
        said = self.gather(what, value)
        for rank, other in enumerate(said):
            for field, there, first in differences(other, said[0]):
                raise DisagreementError(
                    f"{what} of process {rank} ({self._watch.hosts[rank]}) is not that of process "
                    f"0 ({self._watch.hosts[0]}){': ' * bool(field)}{field} is {there!a}, not "
                    f"{first!a}. Expected the same files, options and versions in all processes."
                )

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """As `Processes` has it."""
        found: NDArray[Any] = self._sent(values.nbytes, lambda: self._wire.total(values))
        return found

    def union(self, values: NDArray[Any]) -> NDArray[Any]:
        """As `Processes` has it."""
        data = np.zeros(-(-values.nbytes // 8) * 8, np.uint8)
        data[: values.nbytes] = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        found = self.total(data.view(np.int64)).view(np.uint8)[: values.nbytes]
        return found.view(values.dtype).reshape(values.shape)

    def collect(self, data: bytes) -> list[bytes]:
        """As `Processes` has it."""
        found: list[bytes] = self._sent(len(data), lambda: self._wire.collect(data))
        return found

    def fail(self, error: BaseException) -> None:
        """Tell the others what ended this process; it ends without the farewell that JAX wants."""
        self._watch.tell(error)
        self._part()
        _leave_no_farewell(error)

    def leave(self) -> None:
        """All is done."""
        import jax

        self._watch.stop()
        with suppress(RuntimeError):  # who is gone by now has done its work
            jax.distributed.shutdown()

    def _part(self) -> None:
        """Process 0 stays until the others know: with it goes what connects them."""
        end = time.monotonic() + LEAVING
        while self.rank == 0 and time.monotonic() < end and not self._watch.all_know():
            time.sleep(0.1)
        time.sleep(1.0 if self.rank == 0 else 0.0)  # to say it
        self._watch.stop()

    def _answer(self, key: str) -> str:
        """The value of a key as soon as there is one."""
        while True:
            self._watch.check()
            try:
                return str(self._client.blocking_key_value_get(key, _ASKING))
            except RuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise self._why(error) from None

    def _sent(self, size: int, call: Any) -> Any:
        begin = time.perf_counter()
        found = self._try(call)
        self.traffic.bytes += size
        self.traffic.seconds += time.perf_counter() - begin
        return found

    def _try(self, call: Any) -> Any:
        self._watch.check()
        try:
            return call()
        except RuntimeError as error:
            raise self._why(error) from None

    def _why(self, error: RuntimeError) -> PeerError:
        """What stopped the others, if that is found out soon; else what JAX says."""
        found = self._watch.wait()
        return found or PeerError(
            f"process {self.rank} of {self.count} lost the others: {str(error).splitlines()[0]} "
            f"{self._left}. Look at what the others said, and run all of them again."
        )


def _quiet(make: Callable[[], Wire]) -> Wire:
    """What is made, without the lines that Gloo prints on stdout, where results may be read."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        return make()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _leave_no_farewell(error: BaseException) -> None:
    """Have the process end without JAX's own exit handler, which would wait for who is gone."""
    code = getattr(error, "exit_code", 1)
    atexit.register(_exit_at_once, code if isinstance(code, int) else 1)


def _exit_at_once(code: int) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
