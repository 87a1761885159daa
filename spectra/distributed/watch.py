"""What became of the other processes: a thread that tells them of this one, and listens."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from spectra.errors import PeerError, SpectraError

NOTHING = "Nothing was written by process {rank}"
"""What a process leaves behind that ends before all is done."""

BEAT = 1.0
"""Seconds between signs of life."""

SILENT = 25.0
"""Seconds without one, after which a process counts as dead. JAX's own limit is 100."""

GRACE = 10.0
"""Seconds that a process has to end by itself, once another has."""

_BEATS, _KNOWN, _ERRORS = "spectra-beat/", "spectra-known/", "spectra-error/"
_FIRST = f"{_ERRORS}first"


class Watch:
    """Keeps watch until `stop`."""

    def __init__(
        self,
        client: Any,
        rank: int,
        count: int,
        end: Callable[[PeerError], None] | None = None,
        left: str = NOTHING,
    ) -> None:
        """Begin: `client` is JAX's connection to its coordination service.

        Whoever does not end by himself is ended by `end`, by default the process, at once. `left`
        says what process {rank} leaves behind then.
        """
        self._end = end or _end_at_once
        self.hosts = ["?"] * count
        self._client, self._rank, self._count = client, rank, count
        self._left = left.format(rank=rank)
        self._found: PeerError | None = None
        self._heard = threading.Event()
        self._ending = threading.Event()
        self._stopped = threading.Event()
        self._seen = {other: ("", time.monotonic()) for other in range(count) if other != rank}
        threading.Thread(target=self._run, daemon=True).start()

    def check(self) -> None:
        """Raise `PeerError` if another process has ended."""
        if self._found is not None:
            raise self._found

    def wait(self) -> PeerError | None:
        """What ended another process; None if nothing is heard of that in time."""
        self._heard.wait(SILENT + 3 * BEAT)
        return self._found

    def tell(self, error: BaseException) -> None:
        """Have the others know what ends this process, unless they know of something before."""
        self._ending.set()
        if isinstance(error, PeerError):
            return
        told = str(error) if isinstance(error, SpectraError) else f"{type(error).__name__} {error}"
        said = json.dumps({"rank": self._rank, "said": told if told.endswith(".") else f"{told}."})
        with suppress(RuntimeError):
            self._client.key_value_set(_FIRST, said)

    def all_know(self) -> bool:
        """Whether all others that live have heard of an error."""
        try:
            known = self._client.key_value_dir_get(_KNOWN)
        except RuntimeError:
            return True
        silent = sum(time.monotonic() - when > 5 * BEAT for _, when in self._seen.values())
        return len(known) + silent >= self._count - 1

    def stop(self) -> None:
        """Watch no longer."""
        self._ending.set()
        self._stopped.set()

    def _run(self) -> None:
        beat = 0
        while not self._stopped.wait(BEAT):
            beat += 1
            try:
                self._client.key_value_set(f"{_BEATS}{self._rank}", str(beat), True)
                self._look()
            except RuntimeError:
                continue  # process 0 is gone or slow: JAX ends who cannot reach it
            if self._found is not None:
                self._heard.set()
                if self._rank:
                    with suppress(RuntimeError):
                        self._client.key_value_set(f"{_KNOWN}{self._rank}", "", True)
                if not self._ending.wait(GRACE):
                    self._end(self._found)
                return

    def _look(self) -> None:
        errors = dict(self._client.key_value_dir_get(_ERRORS))
        if _FIRST in errors:
            told = json.loads(errors[_FIRST])
            if told["rank"] != self._rank:
                self._found = self._ended(told["rank"], f"ended: {told['said']}")
            return
        beats = {int(key.rpartition("/")[2]): value for key, value in self._beats()}
        now = time.monotonic()
        for other, (last, when) in self._seen.items():
            beat = beats.get(other, "")
            if beat != last:
                self._seen[other] = beat, now
            elif now - when > SILENT:
                quiet = f"has not been heard of for {SILENT:.0f} s: it was killed, or its machine "
                self._found = self._ended(other, quiet + "or network is gone.")
                return

    def _beats(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = self._client.key_value_dir_get(_BEATS)
        return found

    def _ended(self, rank: int, how: str) -> PeerError:
        return PeerError(
            f"process {rank} of {self._count} (on {self.hosts[rank]}) {how} {self._left}; "
            "run all of them again."
        )


def _end_at_once(why: PeerError) -> None:
    """For a process that is in native code and does not come back."""
    with suppress(OSError):
        os.write(2, f"Error: {why}\n".encode())
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(why.exit_code)
