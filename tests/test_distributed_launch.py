"""What the user and schedulers say of processes."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from spectra.distributed import ALONE, Cluster, refuse_copies, span
from spectra.errors import UsageError
from tests.cli_runs import call


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_processes": 0}, "num_processes is 0"),
        ({"num_processes": 2, "process_id": 2}, "process_id is 2 of 2"),
        ({"process_id": -1}, "process_id is -1"),
        ({"coordinator": "head"}, "coordinator is 'head'"),
        ({"coordinator": ""}, "coordinator is ''"),
        ({"coordinator": ":8476"}, "Expected HOST:PORT"),
        ({"coordinator": "head:0"}, "Expected HOST:PORT"),
        ({"coordinator": "head:65536"}, "Expected HOST:PORT"),
        ({"coordinator": "head:٣"}, "Expected HOST:PORT"),
    ],
)
def test_nonsense_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Cluster(**given)  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_told_by_who_wants_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match="cannot be listened on: Address already in use"):
            Cluster(where, 2, 0).check_port()
        Cluster(where, 2, 1).check_port()
    Cluster(where, 2, 0).check_port()


def test_what_makes_sense_is_taken() -> None:
    assert Cluster("[::1]:8476", 2, 1).given
    assert not Cluster().given


@pytest.mark.parametrize(
    ("variable", "launcher"),
    [
        ("SLURM_STEP_NUM_TASKS", "srun"),
        ("OMPI_COMM_WORLD_SIZE", "mpirun"),
        ("PMI_SIZE", "mpiexec"),
    ],
)
def test_copies_that_know_nothing_of_each_other_are_refused(variable: str, launcher: str) -> None:
    with pytest.raises(UsageError, match=f"{launcher} started 8 copies.*spectra run --distributed"):
        refuse_copies("spectra run", {variable: "8"})
    refuse_copies("spectra run", {variable: "1"})
    refuse_copies("spectra run", {"SLURM_NTASKS": "8"})  # a batch script, outside of srun


@pytest.mark.parametrize(("size", "count"), [(10, 3), (2, 5), (0, 2), (7, 1)])
def test_spans_follow_each_other(size: int, count: int) -> None:
    spans = [span(size, rank, count) for rank in range(count)]
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == size
    assert max(b - a for a, b in spans) - min(b - a for a, b in spans) <= 1


def test_one_process_is_its_own_company() -> None:
    values = np.arange(3.0)
    ALONE.agree("plan", {"rows": 3})
    assert ALONE.gather("host", "here") == ["here"]
    assert ALONE.collect(b"x") == [b"x"]
    for made in (ALONE.total(values), ALONE.union(values)):
        assert made.tolist() == values.tolist()
        assert made is not values


@pytest.mark.parametrize("other", [("--part", "0/2"), ("--dry-run",)])
@pytest.mark.parametrize("given", [("--distributed",), ("--process-id", "0")])
@pytest.mark.usefixtures("here")
def test_options_of_processes_are_not_passed_over(
    given: tuple[str, ...], other: tuple[str, ...]
) -> None:
    result = call("run", *given, *other)
    assert result.exit_code == 2
    assert f"--distributed does not go with {other[0]}" in result.stderr


@pytest.mark.usefixtures("here")
def test_where_processes_meet_is_told_to_those_that_share_a_run() -> None:
    result = call("run", "--num-processes", "2")
    assert result.exit_code == 2
    assert "--process-id go with --distributed" in result.stderr
