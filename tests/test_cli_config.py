"""`--config`: a TOML file, or the run.json of an earlier run, in place of flags."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import extract.pipeline
import spectra.chance
import spectra.compare
import spectra.pipeline
from extract import ExtractConfig
from spectra.cli import _baselines, _compare, _config, _extract, _run
from spectra.engine import RunConfig
from tests.cli_runs import SMALL, call, files_under
from tests.test_compare import write as write_states

EVERY: Mapping[str, tuple[str, object]] = {
    "pools": ('["mean", "first"]', ("mean", "first")),
    "layers": ("[2, 5]", (2, 5)),
    "convention": ('"reptrix"', "reptrix"),
    "categories": ('"schoenfeld"', "schoenfeld"),
    "max_categories": ("3", 3),
    "num_bins": ("4", 4),
    "depth": ('"token"', "token"),
    "counts": ('"8, 16"', (8, 16)),
    "repeats": ("2", 2),
    "seed": ("7", 7),
    "sampling": ('"trace"', "trace"),
    "matched": ("false", False),
    "diagnostics": ("false", False),
    "jackknife": ('"exact"', "exact"),
    "influences": ("true", True),
    "half_sample": ("true", True),
    "drop_first": ("3", 3),
    "drop_dims": ("[4, 0]", (4, 0)),
    "drop_norms": ("5", 5.0),
    "nonfinite": ('"drop"', "drop"),
    "backend": ('"cpu"', "cpu"),
    "devices": ("2", 2),
    "precision": ('"exact"', "exact"),
    "max_memory": ('"1.5G"', 3 << 29),
}
"""Of each field of `RunConfig`, a value in TOML and as it arrives, other than the default."""


class Stop(Exception):
    """Raised in place of the work, with what arrived."""


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What reaches the library, which does nothing."""
    found: list[tuple[Any, ...]] = []

    def take(*args: Any, **rest: Any) -> None:
        found.append((*args, rest))
        raise Stop

    for module, name in (
        (spectra.pipeline, "run"),
        (extract.pipeline, "run"),
        (spectra.compare, "compare"),
        (spectra.chance, "baselines"),
    ):
        monkeypatch.setattr(module, name, take)
    return found


def toml(lines: str) -> Path:
    path = Path("options.toml")
    path.write_text(lines)
    return path


# ---- what a file may say ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [_run.run, _extract.extract, _compare.compare, _baselines.baselines]
)
def test_every_parameter_is_a_key(command: Any) -> None:
    names = set(inspect.signature(command).parameters) - {"ctx", "config_file"}
    kinds = _config._kinds(command)
    assert set(kinds) == names
    assert set(kinds.values()) <= set(_config._KINDS)


@pytest.mark.usefixtures("here")
def test_every_field_of_a_run_arrives(arrived: list[tuple[Any, ...]]) -> None:
    assert {field.name for field in fields(RunConfig) if field.init} == set(EVERY)
    lines = [f"{name} = {text}\n" for name, (text, _) in EVERY.items()]
    call("run", "--config", toml("".join([*lines, 'src = "models"\nout = "results"\n'])))
    (src, out, config, rest), *others = arrived
    assert not others
    assert (src, out) == ("models", Path("results"))
    for name, (_, value) in EVERY.items():
        assert getattr(config, name) == value, name
    assert rest["sources"] == dict.fromkeys(EVERY, "config")


@pytest.mark.usefixtures("here")
def test_flags_win_over_the_file(arrived: list[tuple[Any, ...]]) -> None:
    path = toml("repeats = 2\nseed = 7\nmatched = false\ndrop_dims = [3]\n")
    call("run", "--config", path, "--seed", 1, "--matched", "--drop-dims", "none", "--bins", 3)
    ((_, _, config, rest),) = arrived
    assert config == RunConfig(repeats=2, seed=1, num_bins=3)
    given = dict.fromkeys(("seed", "matched", "drop_dims", "num_bins"), "given")
    assert rest["sources"] == {"repeats": "config", **given}


@pytest.mark.usefixtures("here")
def test_run_json_tells_what_the_file_gave() -> None:
    assert call("run", *SMALL, "--config", toml("seed = 7\nrepeats = 9\n")).exit_code == 0
    options = json.loads(Path("spectral_metrics/tiny/run.json").read_text())["options"]
    assert options["seed"] == {"value": 7, "source": "config"}
    assert options["repeats"] == {"value": 1, "source": "given"}
    assert options["sampling"] == {"value": "row", "source": "default"}


@pytest.mark.usefixtures("here")
def test_extract(arrived: list[tuple[Any, ...]]) -> None:
    path = toml('model = "m"\nout = "o"\nlayers = [18, -1]\nlimit = 3\nfresh = true\n')
    call("extract", "t.jsonl", "--config", path, "--limit", 2)
    ((config, _),) = arrived
    assert config == ExtractConfig(
        traces=Path("t.jsonl"), model="m", out=Path("o"), layers=(18, -1), limit=2, fresh=True
    )


@pytest.mark.usefixtures("here")
def test_compare_and_baselines(arrived: list[tuple[Any, ...]]) -> None:
    a, b = (str(write_states(Path(name))) for name in "ab")
    call("compare", "--config", toml(f'sources = ["{a}", "{b}:mean"]\ncount = 64\nseed = 3\n'))
    call("baselines", a, "--config", toml("permutations = 9\nseed = 3\n"))
    (sources, config, compared), (source, same, found) = arrived
    assert [(str(one.path), one.pool) for one in sources] == [(a, "all"), (b, "mean")]
    assert config == RunConfig(seed=3)
    assert compared["most"] == 64
    assert (str(source.path), same.seed, found["permutations"]) == (a, 3, 9)


# ---- a run repeated -----------------------------------------------------------------------------


def test_a_run_is_repeated_from_its_run_json(tiny: Path) -> None:
    flags = "--pools mean,all --layers all --drop-dims 3 --drop-norms 9 --influences --seed 5"
    more = ("--max-memory", "1G", "--no-diagnostics", "--out", "first")
    assert call("run", tiny, *flags.split(), *more, *SMALL).exit_code == 0
    first = Path("first/tiny")
    again = call("run", tiny, "--config", first / "run.json", "--out", "second")
    assert again.exit_code == 0, again.output
    names = files_under(first) - {"run.json"}
    assert files_under(Path("second/tiny")) - {"run.json"} == names
    assert "trace_influences.csv" in names
    for name in names:
        assert (first / name).read_bytes() == (Path("second/tiny") / name).read_bytes(), name
    options, repeated = (
        json.loads((Path(out) / "tiny/run.json").read_text())["options"]
        for out in ("first", "second")
    )
    for name, option in repeated.items():
        value = options[name]["value"]
        assert option == {"value": value, "source": "default" if value == [] else "config"}


# ---- what it may not ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("bins = 2", "bins is not an option of this command. Did you mean num_bins?"),
        ("zzz = 2", "zzz is not an option of this command. Expected one of: src, out, pools,"),
        ("config_file = 'a'", "config_file is not an option of this command."),
        ("[run]\nseed = 1", "run is not an option of this command."),
        ("num_bins = 'x'", "num_bins is 'x'; expected a whole number."),
        ("num_bins = 2.0", "num_bins is 2.0; expected a whole number."),
        ("num_bins = true", "num_bins is true; expected a whole number."),
        ("drop_norms = '5'", "drop_norms is '5'; expected a number."),
        ("matched = 1", "matched is 1; expected true or false."),
        ("out = 1", "out is 1; expected a string."),
        ("depth = ['step']", "depth is ['step']; expected a string."),
        ("pools = 3", "pools is 3; expected an array of one item or more, or"),
        ("pools = []", "pools is []; expected an array of one item or more, or"),
        ("counts = [8, 1.5]", "counts is [8, 1.5]; expected an array of one item or more, or"),
        ("max_memory = 1.5", "max_memory is 1.5; expected a number of bytes, or a string such as"),
        ("seed = {}", "seed is an object with 0 fields; expected a whole number."),
    ],
)
@pytest.mark.usefixtures("here")
def test_unknown_keys_and_wrong_types(lines: str, message: str) -> None:
    result = call("run", "--config", toml(lines))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: options.toml: {message}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"num_bins =", "Error: a.toml is not a TOML file in UTF-8: Invalid value"),
        ("a.csv", b"\xff\xfe", "Error: a.csv is not a TOML file in UTF-8: "),
        ("a.json", b"{", "Error: --config: a.json is not JSON: "),
        ("a.json", b"[]", "Error: a.json has no object `options`. Expected the run.json of an"),
        ("a.json", b'{"options": {"seed": 3}}', "Error: a.json: options.seed is 3; expected an"),
        (
            "a.json",
            b'{"options": {"seeds": {"value": 3}}}',
            "Error: a.json: seeds is not an option of this command. Did you mean seed?",
        ),
        ("b.toml", None, "Error: --config: b.toml does not exist"),
    ],
)
@pytest.mark.usefixtures("here")
def test_files_that_are_neither(name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    result = call("run", "--config", name)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("here")
def test_values_are_checked_as_those_of_flags_are() -> None:
    result = call("run", "--config", toml('pools = ["median"]'))
    assert result.exit_code == 2
    assert "pools is 'median'. Expected one of: all, mean, first, last." in result.stderr
