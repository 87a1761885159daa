"""`spectra extract`: flags, what is printed where, dry runs, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import jax
import pytest

import extract.pipeline
from extract import ExtractConfig, Extraction, TraceStep, write_traces
from extract.inputs import _BATCHING, gather
from extract.store import Totals
from extract.text import AlignmentReport
from spectra.artifacts import open_artifact
from spectra.cli import _extract
from spectra.engine import RunConfig
from tests.cli_runs import call, files_under, plain
from tests.extract_cases import config_of, one_device, short_traces, write_model

TRACES = short_traces(6)
FLAGS = ("--model", "model", "--out", "reprs/tiny")
ARGS = ("traces.jsonl", *FLAGS, "--backend", "cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model and traces."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    config_of(tmp_path, TRACES)
    return tmp_path


# ---- flags ------------------------------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[ExtractConfig]:
    """The options that reach the pipeline, which does nothing."""
    found: list[ExtractConfig] = []

    def fake(config: ExtractConfig, *, progress: object, processes: object) -> Extraction:
        found.append(config)
        totals = Totals(*[0] * len(fields(Totals)))
        reports = {"t": AlignmentReport(0, 0, (), (), 0, 0, 0, 0)}
        return Extraction(config.out, "m", (1,), totals, reports, (), 0, 0.0, None)

    monkeypatch.setattr(extract.pipeline, "run", fake)
    return found


def test_every_flag_arrives(seen: list[ExtractConfig]) -> None:
    flags = (
        "--revision abc --layers -2,0 --final-norm off --compute-dtype bfloat16 --rope-variant "
        "all_layers --max-tokens-per-batch 99 --max-memory 2K --tensor-parallel 2 --limit 3 "
        "--only-step-tokens --backend cpu --fresh --push-layout"
    )
    assert call("extract", *ARGS, *flags.split()).exit_code == 0
    assert call("extract", *ARGS, "--layers", "all").exit_code == 0
    assert call("extract", "traces.jsonl", *FLAGS).exit_code == 0
    every = ExtractConfig(
        traces=Path("traces.jsonl"),
        model="model",
        out=Path("reprs/tiny"),
        revision="abc",
        layers=(-2, 0),
        final_norm="off",
        compute_dtype="bfloat16",
        rope_variant="all_layers",
        max_tokens_per_batch=99,
        max_memory=2048,
        tensor_parallel=2,
        limit=3,
        only_step_tokens=True,
        backend="cpu",
        fresh=True,
        push_layout=True,
    )
    usual = ExtractConfig(traces=every.traces, model="model", out=every.out)
    assert seen[0] == every
    assert all(getattr(every, f.name) != f.default for f in fields(every))
    assert seen[1].layers == "all"
    assert seen[2] == usual


def flags() -> dict[str, Any]:
    hints = get_type_hints(_extract.extract, include_extras=True)
    return {n: hint.__metadata__[0] for n, hint in hints.items() if n not in {"ctx", "return"}}


def test_every_field_of_the_configuration_has_its_flag() -> None:
    names = {field.name for field in fields(ExtractConfig)}
    measured = {field.name for field in fields(RunConfig) if field.init}
    assert set(flags()) == names | measured | {
        "spectra", "no_shards",
        "config_file", "dry_run", "json", "quiet", "distributed", "coordinator", "num_processes",
        "process_id",
    }  # fmt: skip


def test_help_shows_the_configurations_defaults() -> None:
    spelled_out = {"revision": "main", "layers": "-1", "limit": "all"}
    tokens = {name: batching.max_tokens for name, batching in _BATCHING.items()}
    spelled_out["max_memory"] = "what is free there"
    spelled_out["max_tokens_per_batch"] = f"{tokens['cpu']} on a CPU, else {tokens['accelerator']}"
    shown = flags()
    for field in fields(ExtractConfig):
        if field.name in {"traces", "model", "out"}:
            continue
        if field.default is False:
            assert shown[field.name].show_default is True  # Typer shows none for a switch
        else:
            expected = spelled_out.get(field.name, str(field.default))
            assert shown[field.name].show_default == expected
    for name in ("revision", "limit", "max_tokens_per_batch"):
        assert ExtractConfig.__dataclass_fields__[name].default is None
    assert ExtractConfig.__dataclass_fields__["layers"].default == (-1,)


def test_help_names_every_choice() -> None:
    text = plain(call("extract", "--help").stdout)
    for metavar in ("auto|on|off", "auto|float32|bfloat16", "per_layer_type|all_layers"):
        assert metavar in text


# ---- what is printed --------------------------------------------------------------------------


def test_a_run_and_its_repetition(here: Path) -> None:
    result = call("extract", *ARGS)
    assert (result.exit_code, result.stderr) == (0, "")
    first, tokens, last = result.stdout.splitlines()
    rows = open_artifact(here / "reprs/tiny").config.num_tokens
    steps = sum(len(trace.steps) for trace in TRACES)
    assert re.fullmatch(
        rf"model: 6 traces, {steps} steps, {rows} rows of layer 3, \d+\.?\d* kB\. "
        rf"Computed {rows} tokens in \d+ s, [\d,]+ tokens/s\.",
        first,
    )
    assert re.fullmatch(
        r"  tokens  \d+ in responses, \d+ of them in no step; 0 steps without tokens; "
        r"\d+ step borders inside tokens",
        tokens,
    )
    assert last == "Hidden states: reprs/tiny/"
    again = call("extract", *ARGS)
    assert again.exit_code == 0
    assert "It was complete already: nothing was computed." in again.stdout
    assert again.stdout.splitlines()[1:] == [tokens, last]


def test_json(here: Path) -> None:
    document = json.loads(call("extract", *ARGS, "--json", "--layers", "1,3").stdout)
    plan = gather(config_of(here, TRACES, layers=(1, 3))).plan
    assert document.pop("seconds") > 0
    assert Path(document.pop("log")).parent == Path("reprs/tiny")
    alignment = document.pop("alignment")
    assert document == {
        "path": "reprs/tiny",
        "model": "model",
        "layers": [1, 3],
        "samples": 6,
        "steps": plan.totals.steps,
        "tokens": plan.totals.tokens,
        "padded_tokens": plan.totals.padded_tokens,
        "rows": plan.totals.rows,
        "batches": plan.totals.batches,
        "shapes": plan.totals.shapes,
        "shards": 1,
        "files": 2,
        "bytes": plan.totals.bytes,
        "computed_tokens": plan.totals.tokens,
        "card": None,
        "warnings": [],
    }
    samples = json.loads((here / "reprs/tiny/index.json").read_text())["samples"]
    for name, total in alignment.items():
        values = [sample["alignment"][name] for sample in samples]
        assert total == sum(len(v) if isinstance(v, list) else int(v) for v in values)
    again = json.loads(call("extract", *ARGS, "--json", "--layers", "1,3").stdout)
    assert (again["log"], again["computed_tokens"], again["seconds"]) == (None, 0, 0.0)


def test_sizes_on_the_disk_are_those_told(here: Path) -> None:
    document = json.loads(call("extract", *ARGS, "--json").stdout)
    files = [*(here / "reprs/tiny").glob("*.safetensors"), here / "reprs/tiny/index.json"]
    assert document["bytes"] == sum(file.stat().st_size for file in files)


def test_quiet(here: Path) -> None:
    result = call("extract", *ARGS, "-q")
    assert (result.exit_code, result.output) == (0, "")
    open_artifact(here / "reprs/tiny")


def write_odd(path: Path) -> None:
    """A trace of which something is lost: a segment that is none, a step inside a token."""
    trace = TRACES[0]
    spans = ((0, 2, None), (2, 4, "thought"), (8, 12, "thought"))
    steps = tuple(TraceStep(start, end, segment, "c") for start, end, segment in spans)
    write_traces(path, [type(trace)(trace.trace_id, trace.response, steps, prompt="Why?")])
    text = path.read_text()
    path.write_text(text.replace('"segment": null', '"segment": "musing"'))


@pytest.mark.parametrize("options", [(), ("--json",), ("--dry-run",), ("--dry-run", "--json")])
def test_warnings_go_to_stderr(here: Path, options: tuple[str, ...]) -> None:
    write_odd(here / "traces.jsonl")
    result = call("extract", *ARGS, *options)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Warning: traces.jsonl: 1 steps have a segment other than thought")
    assert lines[1:] == [
        "Warning: steps with text but without a token: 1, the first in trace 't0'.",
        "Warning: characters of steps in tokens of other steps: 2, the first in trace 't0'.",
    ]
    assert "Warning" not in result.stdout
    if "--json" in options:
        assert [f"Warning: {text}" for text in json.loads(result.stdout)["warnings"]] == lines
    assert call("extract", *ARGS, *options, "-q").stderr == ""


def test_names_cannot_steer_the_terminal(here: Path) -> None:
    (here / "model").rename(here / "mo\x1b[31mdel")
    result = call("extract", *ARGS, "--model", "mo\x1b[31mdel", "--out", "o\x1b[1mut")
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "mo\\x1b[31mdel" in result.stdout


# ---- --dry-run --------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_tells_what_a_run_writes(here: Path) -> None:
    before = files_under(here)
    result = call("extract", *ARGS, "--dry-run", "--json", "--layers", "all")
    assert (result.exit_code, result.stderr) == (0, "")
    assert files_under(here) == before
    assert not (here / "reprs").exists()
    document = json.loads(result.stdout)
    assert document["options"]["layers"] == "all"
    assert document["layers"] == [{"index": index, "final_norm": index == 3} for index in range(4)]
    for name in ("operations", "flops_per_second", "seconds", "memory_bytes", "free_bytes"):
        assert document[name] > 0
    assert document["memory_bytes"] > document["weight_bytes"]
    ran = json.loads(call("extract", *ARGS, "--json", "--layers", "all").stdout)
    shared = document.keys() & ran.keys() - {"seconds", "layers"}
    assert len(shared) == 13
    for name in shared:
        assert document[name] == ran[name], name


def test_a_dry_run_for_people() -> None:
    result = call("extract", *ARGS, "--dry-run")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Dry run of model: nothing is loaded or written."
    heads = [line.split()[0] for line in lines[1:]]
    assert heads == ["traces", "layers", "writes", "memory", "time", "tokens"]
    assert lines[2].split("layers")[1].strip() == "3 with the final norm"
    assert "to reprs/tiny/ (" in lines[3]


def test_a_dry_run_reads_no_weights(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract.pipeline, "load_decoder", None)
    monkeypatch.setattr("extract.weights._shards.read_array", None)
    assert call("extract", *ARGS, "--dry-run").exit_code == 0


# ---- exit codes -------------------------------------------------------------------------------


def remove(name: str) -> Callable[[Path], object]:
    return lambda here: (here / name).unlink()


def small_vocabulary(here: Path) -> None:
    write_model(here / "model", vocabulary=50)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (remove("traces.jsonl"), "Error: traces.jsonl does not exist"),
        (lambda here: (here / "traces.jsonl").write_text("{}"), "Error: traces.jsonl, line 1 has"),
        (remove("model/config.json"), "Error: model has no config.json"),
        (remove("model/tokenizer.json"), "Error: model has no tokenizer.json"),
        (remove("model/model.safetensors"), "Error: model has neither model.safetensors nor"),
        (remove("model/tokenizer_config.json"), "Error: trace 't1': messages: the model has no ch"),
        (small_vocabulary, "Error: trace 't0' has the token id "),
        (lambda here: (here / "reprs").write_text(""), "Error: reprs/tiny cannot be written"),
    ],
)
def test_bad_input(here: Path, fault: Callable[[Path], object], message: str) -> None:
    fault(here)
    before = files_under(here)
    result = call("extract", *ARGS)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert files_under(here) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--layers", "4"), "Error: Layer 4 is asked for, and the model has 3 blocks."),
        (("--layers", "1,x"), "Error: --layers is '1,x'. Expected whole numbers"),
        (("--layers", ""), "Error: --layers is ''. Expected whole numbers"),
        (("--layers", "3,-1"), "Error: Layer 3 is asked for 2 times"),
        (("--final-norm", "yes"), "Error: final_norm is 'yes'."),
        (("--limit", "0"), "Error: limit is 0."),
        (("--tensor-parallel", "9"), "Error: tensor_parallel is 9, and the devices here are 1."),
        (("--revision", "main"), "Error: model is a local path, and revision 'main' was asked"),
        (("--out", "model"), "Error: model/config.json is not an artifact's"),
        (("--out", "model", "--fresh"), "Error: model/config.json is not an artifact's"),
        (("--backend", "abacus"), "Error: backend is 'abacus'."),
        (("--distributed", "--dry-run"), "Error: --dry-run does not go with --distributed."),
        (("--process-id", "1"), "Error: --coordinator, --num-processes and --process-id go with"),
    ],
)
def test_usage_errors(here: Path, args: tuple[str, ...], message: str) -> None:
    before = files_under(here)
    result = call("extract", *ARGS, *args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert files_under(here) == before


def test_without_shards_one_process_does_everything() -> None:
    flags = ("--model", "model", "--spectra", "metrics", "--no-shards", "--distributed")
    result = call("extract", "traces.jsonl", *flags)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --no-shards does not go with --distributed.")


def test_a_missing_option_is_told() -> None:
    result = call("extract", "traces.jsonl", "--out", "o")
    assert result.exit_code == 2
    assert "--model" in plain(result.stderr)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_absent_backend_gives_the_install_line(here: Path, dry: tuple[str, ...]) -> None:
    present = {device.platform for device in jax.devices()}
    absent = "tpu" if "gpu" in present else "gpu"
    result = call("extract", *ARGS, "--backend", absent, *dry)
    assert result.exit_code == 2
    assert "pip install " in result.stderr
    assert result.stdout == ""
    assert not (here / "reprs").exists()


def test_another_run_in_the_directory_is_refused(here: Path) -> None:
    assert call("extract", *ARGS, "-q").exit_code == 0
    result = call("extract", *ARGS, "--layers", "0")
    assert result.exit_code == 2
    assert "plan.saved_layers was [3], is [0]" in result.stderr
    assert call("extract", *ARGS, "--layers", "0", "--fresh").exit_code == 0
    assert open_artifact(here / "reprs/tiny").config.saved_layers == (0,)


def test_a_card_beside_the_artifact(here: Path) -> None:
    card = here / "reprs" / "README.md"
    result = call("extract", *ARGS, "--push-layout")
    assert result.exit_code == 0, result.output
    assert f"\nDataset card: {card}; the folder is shared by\n" in result.stdout
    assert f"  hf upload OWNER/NAME {here}/reprs --repo-type dataset\n" in result.stdout
    content = card.read_bytes()
    again = json.loads(call("extract", *ARGS, "--push-layout", "--json").stdout)
    assert (again["card"], again["log"]) == (str(card), None)
    assert card.read_bytes() == content
    assert b"| weights\\.source | directory |" in content
    for command in ("verify", "info", "run"):
        assert call(command, "reprs", *["--dry-run"] * (command == "run")).exit_code == 0


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_another_readme_stops_it_before_anything_is_done(here: Path, dry: tuple[str, ...]) -> None:
    (here / "reprs").mkdir()
    (here / "reprs" / "README.md").write_text("# Mine\n")
    before = files_under(here)
    result = call("extract", *ARGS, "--push-layout", *dry)
    assert result.exit_code == 2
    assert f"Error: {here}/reprs/README.md is there and was not written as a" in result.stderr
    assert files_under(here) == before
    assert call("extract", *ARGS, "--dry-run").exit_code == 0
