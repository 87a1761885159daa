"""The benchmark of meshes: what it compares is there, and ratios are over the device alone."""

from __future__ import annotations

import json

import jax
import pytest
from typer.testing import CliRunner

from bench import mesh


def test_a_mesh_of_one_is_beside_the_device_alone() -> None:
    flags = ["--dims", "8", "--rows", "1500", "--repeats", "1", "--backend", "cpu"]
    ended = CliRunner().invoke(mesh.app, flags, catch_exceptions=False)
    assert ended.exit_code == 0
    alone, one = json.loads(ended.stdout.splitlines()[-1])["cells"]
    assert (alone["backend"], one["backend"]) == ("device alone", "mesh of 1")
    for what in ("moments", "reduction"):
        assert alone[f"{what}_ratio"] == 1.0
        expected = one[f"{what}_seconds"] / alone[f"{what}_seconds"]
        assert one[f"{what}_ratio"] == pytest.approx(expected, rel=0.02)


def test_more_devices_than_there_are() -> None:
    count = len(jax.local_devices(backend="cpu"))
    ended = CliRunner().invoke(mesh.app, ["--devices", str(count + 1), "--backend", "cpu"])
    assert ended.exit_code == 2
    assert f"there are {count}" in ended.stderr
