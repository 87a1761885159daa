"""Runs that are killed, interrupted or changed on the way: the same bytes in the end, or a no."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from extract import ExtractConfig, run, write_traces
from extract.inputs import gather
from extract.store import Store
from extract.store.errors import FingerprintMismatchError
from extract.store.journal import read_journal
from spectra.artifacts import open_artifact
from tests.artifact_files import edit
from tests.cli_runs import end
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.extract_run import KILLS, files

ROOT = Path(__file__).parents[1]
TRACES = [trace for trace in short_traces(900) if len(trace.response) < 66]
"""More or less of one length: many batches, and one shape to compile."""


def write_small(directory: Path) -> ExtractConfig:
    """A model that compiles fast and some sixty batches for it."""
    write_model(directory / "model", case="llama-v4", num_hidden_layers=2)
    return config_of(directory, TRACES, max_tokens_per_batch=64)


# ---- kills ------------------------------------------------------------------------------------


def test_killed_runs_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Kills at random moments, three of them between the start and the first states."""
    config = write_small(tmp_path)
    command = [sys.executable, "-m", "tests.extract_run", str(tmp_path), "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    batches = gather(config).plan.totals.batches
    for told in json.loads(done.stdout):
        assert [status for status, _ in told["kills"]] == [-signal.SIGKILL] * KILLS
        finished = [batches for _, batches in told["kills"]]
        assert finished == sorted(finished)
        assert 0 < finished[-1] < batches
        assert (told["last"], told["same"]) == (0, True)
    assert files(tmp_path / "out") == files(tmp_path / "good")
    shards = {f"hidden_states_layer{layer}_shard000.safetensors" for layer in (1, 2)}
    assert set(files(tmp_path / "out")) == {"config.json", "index.json", *shards}
    (last, *_) = sorted((tmp_path / "out").glob("*.log"), reverse=True)
    computed = re.search(r"computed ([\d,]+) tokens", last.read_text())
    assert computed is not None
    assert int(computed[1].replace(",", "")) < gather(config).plan.totals.tokens


# A job started in the background inherits an ignored SIGINT; this child listens wherever it runs.
# It computes slowly and journals at once.
SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from extract.store import Store, opening
opening.JOURNAL_INTERVAL = 0.02
write = Store.write
def slow(*args):
    time.sleep(0.1)
    write(*args)
Store.write = slow
from spectra.cli import main
main()
"""


def test_an_interrupt_ends_with_130_and_a_later_run_goes_on(tmp_path: Path) -> None:
    config = write_small(tmp_path)
    args = ["extract", str(config.traces), "--model", config.model, "--out", str(config.out)]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *args, "--max-tokens-per-batch", "64", "--backend", "cpu"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            until(lambda: finished(config.out) > 2 or process.poll() is not None)
            end(process)
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == ("", "Interrupted.\n")
    assert process.returncode == 130
    (log,) = config.out.glob("*.log")
    assert "stopped: Stopped: SIGINT" in log.read_text().splitlines()[-1]
    assert not (config.out / "extraction.lock").exists()
    kept = finished(config.out)
    assert 2 < kept < gather(config).plan.totals.batches
    with one_device():
        rest = run(config)
        whole = run(replace(config, out=tmp_path / "good"))
    assert 0 < rest.computed_tokens < whole.computed_tokens
    assert files(config.out) == files(tmp_path / "good")


def finished(directory: Path) -> int:
    journal = directory / "extraction.journal"
    return len(read_journal(journal)[1]) if journal.exists() else 0


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


# ---- what may not change on the way -----------------------------------------------------------

FEW = TRACES[:6]


@pytest.fixture(scope="module")
def _one_device() -> Iterator[None]:
    with one_device():
        yield


def same_config(model: Path) -> None:
    write_model(model, case="llama-v4", num_hidden_layers=2, seed=1)


def other_theta(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(rope_theta=20000.0))


def other_tokenizer(model: Path) -> None:
    made = Tokenizer.from_file(str(model / "tokenizer.json"))
    made.add_tokens(["<never>"])
    made.save(str(model / "tokenizer.json"))


def other_template(model: Path) -> None:
    edit(
        model / "tokenizer_config.json",
        lambda settings: settings.update(chat_template=settings["chat_template"] + "{# same #}"),
    )


def nothing(model: Path) -> None: ...


CHANGES: list[tuple[Callable[[Path], None], Mapping[str, Any], str]] = [
    (same_config, {}, "fingerprint.weights.files.model.safetensors.sampled_sha256 was"),
    (other_theta, {}, "fingerprint.weights.config_sha256 was"),
    (other_tokenizer, {}, "fingerprint.weights.tokenizer_sha256 was"),
    (other_template, {}, "fingerprint.weights.chat_template_sha256 was"),
    (nothing, {"compute_dtype": "bfloat16"}, 'compute_dtype was "float32", is "bfloat16"'),
    (nothing, {"rope_variant": "all_layers"}, 'rope_variant was "per_layer_type", is "all_layers"'),
    (nothing, {"limit": 5}, "plan.samples was 6, is 5"),
    (nothing, {"layers": (1, -1)}, "plan.saved_layers was [2], is [1, 2]"),
    (nothing, {"final_norm": "off"}, "plan.final_norm was [true], is [false]"),
    (nothing, {"max_tokens_per_batch": 9999}, "plan.batches was 6, is 1"),
    (nothing, {"only_step_tokens": True}, "plan.rows was"),
]


@pytest.mark.usefixtures("_one_device")
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(
    ("change", "options", "text"), CHANGES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_changed_run_is_refused_and_told_the_field(
    tmp_path: Path,
    complete: bool,
    change: Callable[[Path], None],
    options: Mapping[str, Any],
    text: str,
) -> None:
    model = write_model(tmp_path / "model", case="llama-v4", num_hidden_layers=2)
    config = config_of(tmp_path, FEW, max_tokens_per_batch=64)
    if complete:
        run(config)
    else:
        with pytest.raises(InterruptedError):
            run(config, progress=stop)
    before = files(config.out)
    assert ("config.json" in before) == complete
    change(model)
    with pytest.raises(FingerprintMismatchError) as caught:
        run(replace(config, **options))
    assert text in str(caught.value)
    assert files(config.out) == before


def stop(stage: str, done: int, total: int) -> None:
    if stage == "computing" and done > total / 2:
        raise InterruptedError


@pytest.mark.usefixtures("_one_device")
def test_other_traces_are_another_plan(tmp_path: Path) -> None:
    write_model(tmp_path / "model", case="llama-v4", num_hidden_layers=2)
    config = config_of(tmp_path, FEW, max_tokens_per_batch=64)
    run(config)
    write_traces(config.traces, [*FEW[:-1], TRACES[7]])
    with pytest.raises(FingerprintMismatchError, match=r"plan\.sha256 was"):
        run(config)
    assert run(replace(config, fresh=True)).computed_tokens > 0
    assert open_artifact(config.out).index.samples[-1].sample_id == TRACES[7].trace_id


@pytest.mark.usefixtures("_one_device")
@pytest.mark.parametrize("damaged", [False, True])
def test_what_an_exception_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    """What the disk lost meanwhile is computed again, and told."""
    write = Store.write

    def write_through(store: Store, *args: Any) -> None:
        """As a run that is stopped later than the background writer needs."""
        write(store, *args)
        store._session.writer.drain()  # type: ignore[union-attr]

    monkeypatch.setattr(Store, "write", write_through)
    write_model(tmp_path / "model", case="llama-v4", num_hidden_layers=2)
    config = config_of(tmp_path, FEW, max_tokens_per_batch=64)
    with pytest.raises(InterruptedError):
        run(config, progress=stop)
    if damaged:
        (shard,) = config.out.glob("*.partial")
        data = shard.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        shard.write_bytes(data[:start] + bytes(byte ^ 1 for byte in data[start:]))
    rest = run(config)
    whole = run(replace(config, out=tmp_path / "good"))
    assert (0 < rest.computed_tokens < whole.computed_tokens) != damaged
    told = [one for one in rest.warnings if "are not on the disk as they were written" in one]
    assert len(told) == damaged
    assert rest.log is not None
    assert all(f" warning: {one}" in rest.log.read_text() for one in told)
    assert files(config.out) == files(whole.path)
