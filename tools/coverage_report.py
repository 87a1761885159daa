"""What the tests reach of spectra and extract, by the data that `make test COVERAGE=1` leaves.

Prints every line and branch that no test reached, each package's share of lines and of branches,
and the files with many lines unreached, with the reason that `UNREACHED` has for each. Exits with 1
where a share is below `FLOOR`, or where such a file has no reason.
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

UNREACHED: Mapping[str, str] = {
    "extract/decoder/compiling.py": "for an XLA without the option; the locked ones have it",
}
"""Files with fewer than nine lines in ten reached, and why. CONTRIBUTING.md tells of the others."""

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
    sys.stdout.write(f"\n{text}\n")
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


def judge(
    files: Mapping[str, Summary], reasons: Mapping[str, str] = UNREACHED
) -> tuple[str, list[str]]:
    """The shares as text, and what is wrong with them; `files` are coverage.py's summaries."""
    told, faults = [], []
    for package in PACKAGES:
        of_package = [one for path, one in files.items() if path.startswith(f"{package}/")]
        for kind, share in (("lines", _lines(of_package)), ("branches", _branches(of_package))):
            told.append(f"{package}: {share:.1f} % of {kind}")
            if share < FLOOR:
                faults.append(f"{told[-1]} are reached; {FLOOR:.0f} % are wanted")
    for path, file in files.items():
        share = _lines([file])
        if share < FLOOR:
            told.append(f"{path}: {share:.1f} % of lines: {reasons.get(path, 'no reason given')}")
            if path not in reasons:
                faults.append(f"{path}: {share:.1f} % of lines are reached; test more, or say why")
    return "\n".join(told), faults


def _lines(files: list[Summary]) -> float:
    return _share(files, "covered_lines", "num_statements")


def _branches(files: list[Summary]) -> float:
    return _share(files, "covered_branches", "num_branches")


def _share(files: list[Summary], reached: str, number: str) -> float:
    total = sum(file[number] for file in files)
    return 100.0 * sum(file[reached] for file in files) / total if total else 100.0


if __name__ == "__main__":
    sys.exit(main())
