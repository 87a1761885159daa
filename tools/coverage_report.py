"""What the tests reach of spectra and extract, by the data that `make test COVERAGE=1` leaves.

Prints every line and branch that no test reached, what the files that miss many have in common
(`UNREACHED`), and each package's share of lines and of branches. Exits with 1 where a share is
below `FLOOR`, or where a file is below it and `UNREACHED` does not say why.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("spectra", "extract")
FLOOR = 90.0
"""Per cent, of the lines and of the branches of each package."""

UNREACHED: Mapping[str, str] = {}
"""Files below the floor, and why."""

Summary = Mapping[str, int]


def main() -> int:
    """Combine what the processes measured and report on it; the exit code."""
    from coverage import Coverage

    measured = Coverage()
    measured.combine()
    measured.save()
    measured.report(show_missing=True, skip_covered=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        measured.json_report(outfile=str(path))
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["files"]
    text, faults = judge({path: file["summary"] for path, file in found.items()})
    sys.stdout.write(f"{text}\n")
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


def judge(files: Mapping[str, Summary]) -> tuple[str, list[str]]:
    """The shares as text, and what is wrong with them; `files` are coverage.py's summaries."""
    lines, faults = [], []
    for package in PACKAGES:
        of_package = [one for path, one in files.items() if path.startswith(f"{package}/")]
        shares = {
            "lines": _share(of_package, "covered_lines", "num_statements"),
            "branches": _share(of_package, "covered_branches", "num_branches"),
        }
        shown = ", ".join(f"{share:.1f} % of {kind}" for kind, share in shares.items())
        lines.append(f"{package}: {shown}")
        faults += [
            f"{package}: {share:.1f} % of {kind} are reached; {FLOOR:.0f} % are wanted"
            for kind, share in shares.items()
            if share < FLOOR
        ]
    return "\n".join(lines), faults


def _share(files: list[Summary], reached: str, number: str) -> float:
    total = sum(file[number] for file in files)
    return 100.0 * sum(file[reached] for file in files) / total if total else 100.0


if __name__ == "__main__":
    sys.exit(main())
