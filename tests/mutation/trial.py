"""One trial: damage a directory, read it, judge what came of it, make it whole.

Reading must give what the whole directory gave ("identical"), or another valid content that a hash
tells from it ("other content"), or one clean error: a `SpectraError` of exit code 2 or 3 with a
short message that names a file. Anything else is a failure: another exception, a warning, more
than `LONGEST` seconds, more than `MOST_MEMORY` bytes.
"""

from __future__ import annotations

import random
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from spectra.errors import SpectraError
from tests.mutation import artifacts, extractions, models, results, traces
from tests.mutation.file_edits import Place
from tests.mutation.subject import Subject, check_error, digest

LONGEST, PATIENCE = 10.0, 60.0
"""Seconds of work, and of waiting: on a busy machine the first take longer than they should."""

MOST_MEMORY = 256 << 20
"""Bytes that a trial's peak may lie above what was held before it."""

QUICK = (
    artifacts.OPENED,
    artifacts.VERIFIED,
    *traces.TRACES,
    models.DIRECTORY,
    models.GGUF,
    results.LOADED,
    extractions.STOPPED,
)
SLOW = (artifacts.RUN, results.PAGE)
SUBJECTS = {subject.name: subject for subject in (*QUICK, *SLOW)}

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class HangError(BaseException):
    """Reading took too long; no Exception, lest it be caught on the way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: "identical", "other content" or an error's class, and what was done."""

    kind: str
    edits: tuple[str, ...]


class Bench:
    """Valid directories of each kind, made where first asked for, and what they give.

    `peak` is the most memory that a trial came to, in bytes.
    """

    def __init__(self, root: Path) -> None:
        """In the directory `root`."""
        self._root = root
        self._places: dict[str, Place] = {}
        self._expected: dict[tuple[str, bool], str] = {}
        self.peak = 0

    def trial(self, subject: Subject, rng: random.Random, *, use: bool) -> Outcome:
        """Damage the subject and judge what reading it gives, or using it; raises for a failure."""
        place, expected = self._place(subject), self._whole(subject, use=use)
        edits = list[str]()
        try:
            for _ in range(rng.choice([1, 1, 1, 2, 3])):
                edits.append(subject.damage(place, rng))
            subject.reseal(place, rng)
            with _limits():
                return Outcome(self._judged(subject, place, expected, use=use), tuple(edits))
        except BaseException as error:
            error.add_note(f"{subject.name}, {'used' if use else 'read'}: {'; '.join(edits)}")
            raise
        finally:
            place.restore()
            self.peak = max(self.peak, memory("VmHWM"))

    def _judged(self, subject: Subject, place: Place, expected: str, *, use: bool) -> str:
        try:
            found = digest((subject.use if use else subject.read)(place.path))
        except SpectraError as error:
            check_error(error, str(place.path.parent), *place.files)
            return type(error).__name__
        if found == expected:
            return "identical"
        subject.told(place)
        return "other content"

    def _place(self, subject: Subject) -> Place:
        if subject.name not in self._places:
            path = self._root / f"of-{subject.name}" / subject.name
            path.parent.mkdir()
            subject.build(path)
            self._places[subject.name] = Place(path)
        return self._places[subject.name]

    def _whole(self, subject: Subject, *, use: bool) -> str:
        key = subject.name, use
        if key not in self._expected:
            path = self._place(subject).path
            self._expected[key] = digest((subject.use if use else subject.read)(path))
        return self._expected[key]


@contextmanager
def _limits() -> Iterator[None]:
    """Warnings as errors, and a watch over time and memory."""
    before = _reset_peak()
    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, LONGEST),
        (signal.SIGALRM, signal.ITIMER_REAL, PATIENCE),
    )
    old = {number: signal.signal(number, _hang) for number, _, _ in timers}
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, old[number])
    if before is not None:
        rise = memory("VmHWM") - before
        assert rise <= MOST_MEMORY, f"{rise / 1e6:.0f} MB more at the peak than before"


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError(f"reading took {LONGEST:.0f} s of work, or {PATIENCE:.0f} s of waiting")


def memory(field: str) -> int:
    """Bytes of this process by /proc/self/status: VmRSS now, VmHWM at the peak."""
    text = _STATUS.read_text()
    return int(text.split(f"{field}:", 1)[1].split()[0]) * 1024


def _reset_peak() -> int | None:
    """What is held now, from which the peak counts again; None where the system has no such."""
    try:
        _RESET.write_text("5")
    except OSError:
        return None
    return memory("VmRSS")
