"""What a process of a distributed test does; started by `tests.loopback`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import spectra
from spectra.distributed import Cluster, connect


def main() -> None:
    """Arguments: the coordinator, how many, which, and a file that says what to run."""
    coordinator, count, rank, todo = sys.argv[1:]
    with connect(Cluster(coordinator, int(count), int(rank))) as processes:
        for case in json.loads(Path(todo).read_text()):
            options: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in case["config"].items()
            }
            spectra.run(case["src"], case["out"], spectra.RunConfig(**options), processes=processes)


if __name__ == "__main__":
    main()
