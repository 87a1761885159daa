"""`extraction_<timestamp>.log`: what a run did and when, a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from extract.inputs import Inputs
from spectra.atomic import output_error
from spectra.errors import OutputError
from spectra.strict_json import dumps


class Log:
    """A log file in the artifact's directory, on the disk after each line."""

    def __init__(self, path: Path, stream: FileIO) -> None:
        self.path = path
        self._stream = stream

    @classmethod
    @contextmanager
    def in_directory(cls, directory: Path, rank: int = 0) -> Iterator[Log]:
        """A new log named after the time in UTC; an error that ends the block is its last line.

        Its name has the process's `rank` too where that is not 0. Raises `OutputError`.
        """
        process = f"_process{rank}" if rank else ""
        path = directory / f"extraction_{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{process}.log"
        try:
            stream = path.open("xb", buffering=0)  # nothing is left to be written on closing
        except OSError as error:
            raise output_error(path, error) from None
        with stream:
            log = cls(path, stream)
            try:
                yield log
            except BaseException as error:
                with suppress(OutputError):  # what stopped the run is what the user is to see
                    log.say(f"stopped: {type(error).__name__}: {error}")
                raise

    def begin(self, inputs: Inputs) -> None:
        """The command, the options, the fingerprint, the plan and each sample's alignment."""
        self.say(f"command: {' '.join(sys.argv)}")
        self.say(f"options: {_line(inputs.config.asdict())}")
        self.say(f"fingerprint: {_line(inputs.fingerprint)}")
        self.say(f"plan: {inputs.plan.totals}, sha256 {inputs.plan.sha256}")
        for warning in inputs.warnings:
            self.say(f"warning: {warning}")
        for sample, report in inputs.reports.items():
            self.say(
                f"sample {sample!a}: {report.response_tokens} response tokens, "
                f"{report.unassigned_tokens} in no step, {len(report.empty_steps)} empty steps, "
                f"{report.borders_inside_tokens} borders inside tokens"
            )

    def say(self, text: str) -> None:
        """Write a line."""
        line = f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}\n"
        try:
            self._stream.write(line.encode(errors="backslashreplace"))
        except OSError as error:
            raise output_error(self.path, error) from None


def _line(value: object) -> str:
    return dumps(value, indent=None).strip()
