"""The command line: options, sources, exit codes."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_type_hints

import jax
import pytest

import spectra.pipeline
from spectra import __version__
from spectra.cli import _options, _run
from spectra.engine import RunConfig
from spectra.errors import UsageError
from tests.artifact_files import SHARDS, edit
from tests.cli_runs import SMALL, call, plain, write_overlapping

# ---- help and version ---------------------------------------------------------------------------


def test_version() -> None:
    first, second = call("--version").stdout.splitlines()
    assert first == f"spectra {__version__}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy"))
    assert second.startswith(f"Python {platform.python_version()}, {packages}, ")
    assert platform.machine() in second


def test_help_lists_commands_and_exit_codes() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for text in ("demo", "extract", "run", "traces", "130 interrupted"):
        assert text in plain(result.stdout)


def test_help_needs_neither_numpy_nor_jax() -> None:
    heavy = "{'jax', 'flax', 'numpy', 'scipy', 'safetensors', 'ml_dtypes', 'tokenizers'}"
    code = f"import sys, spectra.cli; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_help_imports_nothing_heavy() -> None:
    # Half of a second each; `bench.scaling` times the start.
    code = (
        "import sys\nfrom spectra.cli import app\n"
        "for words in (['--help'], ['run', '--help'], ['extract', '--help']):\n"
        "    app(words, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    loaded = set(done.stderr.split())
    assert "spectra.cli" in loaded
    assert not loaded & {"numpy", "jax", "scipy", "flax", "safetensors"}


# ---- options ------------------------------------------------------------------------------------


def run_flags() -> dict[str, Any]:
    hints = get_type_hints(_run.run, include_extras=True)
    del hints["ctx"], hints["return"]
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def test_every_field_of_the_configuration_has_its_flag() -> None:
    names = {field.name for field in fields(RunConfig) if field.init}
    others = {"src", "config_file", "out", "strict", "dry_run", "profile", "json", "quiet"}
    shared = {"distributed", "coordinator", "num_processes", "process_id"}
    assert set(run_flags()) == names | others | {"part", "fresh"} | shared


def test_help_shows_the_configurations_defaults() -> None:
    spelled_out = {"layers", "counts", "max_memory", "drop_dims", "devices"}
    spelled_out |= {"matched", "diagnostics", "influences", "half_sample"}
    for field in fields(RunConfig):
        if field.init and field.name not in spelled_out:
            default = field.default
            text = ",".join(default) if isinstance(default, tuple) else str(default)
            assert run_flags()[field.name].show_default == text


@pytest.mark.usefixtures("here")
def test_every_flag_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def fake(src: object, out: object, config: RunConfig, **rest: Any) -> tuple[()]:
        seen.update(src=src, out=out, config=config, **rest)
        return ()

    monkeypatch.setattr(spectra.pipeline, "run", fake)
    flags = (
        "--pools mean,first --layers 2,5 --convention reptrix --categories schoenfeld "
        "--max-categories 3 --num-bins 4 --depth token --counts 8,16 --repeats 2 --seed 7 "
        "--sampling trace --no-matched --no-diagnostics --jackknife exact --influences "
        "--half-sample --drop-first 3 --drop-dims 4,0 --drop-norms 5.5 --nonfinite drop "
        "--backend cpu --devices 2 --precision exact --max-memory 1.5G"
    )
    result = call("run", "somewhere", "--out", "there", *flags.split())
    assert result.exit_code == 0, result.output
    assert seen["config"] == RunConfig(
        pools=("mean", "first"),
        layers=(2, 5),
        convention="reptrix",
        categories="schoenfeld",
        max_categories=3,
        num_bins=4,
        depth="token",
        counts=(8, 16),
        repeats=2,
        seed=7,
        sampling="trace",
        matched=False,
        diagnostics=False,
        influences=True,
        half_sample=True,
        drop_first=3,
        drop_dims=(4, 0),
        drop_norms=5.5,
        jackknife="exact",
        nonfinite="drop",
        backend="cpu",
        devices=2,
        precision="exact",
        max_memory=3 << 29,
    )
    assert seen["sources"] == {field.name: "given" for field in fields(RunConfig) if field.init}
    assert (seen["src"], seen["out"]) == ("somewhere", Path("there"))


@pytest.mark.usefixtures("here")
def test_run_json_tells_what_was_given() -> None:
    call("run", *SMALL)
    record = json.loads(Path("spectral_metrics/tiny/run.json").read_text())
    given = {name for name, option in record["options"].items() if option["source"] == "given"}
    assert given == {"repeats", "counts", "num_bins"}
    assert record["command"][0] == "spectra"


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 << 30), ("500M", 500 << 20), ("1.5 GiB", 3 << 29), ("8kb", 8192), ("1024", 1024)],
)
def test_sizes(text: str, size: int) -> None:
    assert _options.size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "4 apples", "1e9", "4GG"])
def test_impossible_sizes(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-memory is .* such as 4G or 500M"):
        _options.size(text)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--pools", "all,median"], "pools is 'median'. Expected one of: all, mean, first, last."),
        (["--pools", ""], "pools is ''. Expected one of"),
        (["--layers", "1,x"], "--layers is '1,x'. Expected whole numbers"),
        (["--layers", "3"], "has no states of layer 3; it has layers 2, 5."),
        (["--counts", ""], "--counts is ''. Expected whole numbers"),
        (["--counts", "8,4"], "Expected increasing whole numbers"),
        (["--convention", "mine"], "convention 'mine' is not known. Expected one of: default"),
        (["--max-memory", "much"], "--max-memory is 'much'."),
        (["--bins", "0"], "num_bins is 0. Expected 1 or more."),
        (["--precision", "low"], "precision is 'low'. Expected one of: auto, exact, fast."),
        (
            ["--backend", "cpu", "--precision", "fast"],
            "--precision fast is for accelerators; a CPU computes in float64 always.",
        ),
    ],
)
@pytest.mark.usefixtures("here")
def test_usage_errors(args: list[str], message: str) -> None:
    result = call("run", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not Path("spectral_metrics").exists()


@pytest.mark.parametrize("args", [["run", "--bins", "ten"], ["run", "--no-such"], ["frobnicate"]])
def test_usage_errors_of_the_parser(args: list[str]) -> None:
    result = call(*args)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_an_absent_backend_gives_the_install_line(tiny: Path) -> None:
    present = {device.platform for device in jax.devices()}
    absent = "tpu" if "gpu" in present else "gpu"
    for dry in ([], ["--dry-run"]):
        result = call("run", tiny, "--backend", absent, *dry)
        assert result.exit_code == 2
        assert "pip install " in result.stderr
        assert result.stdout == ""


# ---- the source ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_default_source_is_the_directory_here() -> None:
    result = call("run", *SMALL)
    assert result.exit_code == 0
    assert result.stderr == "No SRC given: using ./annotated_traces_reprs.\n"
    assert "tiny, layer 5, pool all" in result.stdout


def test_default_source_is_else_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("run", *SMALL, "--pools", "mean")
    assert result.exit_code == 0
    assert "No SRC given and no ./annotated_traces_reprs here: using the embedded" in result.stderr
    assert "SmolLM2-135M-Instruct, layer 15, pool mean" in result.stdout
    assert (tmp_path / "spectral_metrics" / "smollm2-135m-instruct" / "run.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"spectral_metrics"}


@pytest.mark.usefixtures("here")
def test_several_models() -> None:
    write_overlapping(Path("annotated_traces_reprs/second"))
    result = call("run", "annotated_traces_reprs", "--json", *SMALL)
    assert [model["model"] for model in json.loads(result.stdout)["models"]] == [
        "overlapping",
        "tiny",
    ]
    assert Path("spectral_metrics/second/run.json").exists()


# ---- exit codes ---------------------------------------------------------------------------------


def remove(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).unlink()


@pytest.mark.parametrize("command", ["run", "info", "verify"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (remove("config.json"), "holds no config.json"),
        (remove("index.json"), "index.json does not exist"),
        (remove(SHARDS[1]), f"1 of 4 shards listed in config.json are missing: {SHARDS[1]}"),
        (
            lambda path: (path / "config.json").write_text("{"),
            "config.json is not JSON",
        ),
        (
            lambda path: edit(path / "config.json", lambda config: config.pop("hidden_dim")),
            "has no field 'hidden_dim'",
        ),
    ],
)
def test_bad_input(tiny: Path, command: str, fault: Callable[[Path], object], message: str) -> None:
    fault(tiny)
    result = call(command, tiny)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("spectral_metrics").exists()


@pytest.mark.usefixtures("here")
def test_an_output_that_cannot_be_written() -> None:
    Path("file").write_text("")
    result = call("run", "--out", "file", *SMALL)
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].startswith("Error: file")


def test_strict(tiny: Path, tmp_path: Path) -> None:
    result = call("run", tiny, "--strict", "--json", *SMALL)
    assert result.exit_code == 4
    (model,) = json.loads(result.stdout)["models"]
    assert result.stderr.startswith(
        f"Error: everything was written, but under --strict {model['undefined']} groups of tiny"
    )
    assert Path("spectral_metrics/tiny/run.json").exists()
    result = call("run", write_overlapping(tmp_path / "model"), "--strict", *SMALL)
    assert result.exit_code == 4
    assert "steps of overlapping that overlap an earlier one: 1" in result.stderr.splitlines()[-1]


def raising(error: BaseException) -> Callable[..., Iterable[object]]:
    def fail(*args: object, **kwargs: object) -> Iterable[object]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (MemoryError(), 1, "Error: memory ran out. Give a lower --max-memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 1, "Error: memory ran out. Give"),
        (OSError(28, "No space left on device", "x/y"), 3, "Error: x/y: No space left on device."),
        (ZeroDivisionError("oops"), 1, "Internal error: ZeroDivisionError: oops. This is a fault"),
    ],
)
def test_what_can_happen_to_a_run(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr(spectra.pipeline, "run", raising(error))
    result = call("run", tiny)
    assert result.exit_code == code
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_traceback_on_request(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra.pipeline, "run", raising(ZeroDivisionError("oops")))
    monkeypatch.setenv("SPECTRA_TRACEBACK", "1")
    assert isinstance(call("run", tiny).exception, ZeroDivisionError)
