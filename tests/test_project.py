"""What the project's files promise one another: versions, locks, packaged data."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import spectra

ROOT = Path(__file__).parent.parent
LOCKS = ("run.txt", "dev.txt")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)( ; [^\\]+)? \\$")


def pins(lock: str) -> dict[tuple[str, str], str]:
    """Name and marker to version, of every pin of a lock."""
    lines = (ROOT / "requirements" / lock).read_text(encoding="utf-8").splitlines()
    matches = [match for line in lines if (match := PIN.match(line))]
    return {(match[1], match[3] or ""): match[2] for match in matches}


def test_one_version() -> None:
    assert metadata.version("spectra-metrics") == spectra.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {spectra.__version__}" in changelog


@pytest.mark.parametrize("package", ["spectra", "extract"])
def test_packages_are_marked_as_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()


def test_one_environment_can_hold_both_locks() -> None:
    run, dev = pins("run.txt"), pins("dev.txt")
    assert run
    assert run.items() <= dev.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_everything_by_hash_and_name_no_host(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    requirements = len(re.findall(r"^[^\s#]", text, re.MULTILINE))
    assert requirements == len(pins(lock))
    assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}(?: \\)?\n", text)) >= requirements
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_every_direct_dependency_and_the_build_backend(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = project["project"]["dependencies"] + project["build-system"]["requires"]
    named = {re.split(r"[<>=\[ ]", requirement)[0].replace("_", "-") for requirement in direct}
    assert named <= {name for name, _ in pins(lock)}
