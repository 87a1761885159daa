"""What a store writes: the artifact, byte by byte, and the states that it refuses."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from extract.store import Plan, open_store
from extract.store import errors as store_errors
from spectra import errors
from spectra.artifacts import open_artifact, verify_artifact, write_artifact
from tests.store_cases import (
    DIM,
    FINGERPRINT,
    all_states,
    check_against_model,
    contents,
    extract,
    small_plan,
    traces,
)


@pytest.fixture
def plan() -> Plan:
    return small_plan(traces(7))


@pytest.fixture
def begun(tmp_path: Path, plan: Plan) -> Path:
    """A directory with the first two batches."""
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        for batch in plan.batches[:2]:
            store.write(batch, all_states(plan, batch))
    return tmp_path / "a"


@pytest.fixture
def done(tmp_path: Path, plan: Plan) -> Path:
    """A complete directory."""
    return extract(tmp_path / "a", plan)


@pytest.mark.parametrize("only_step_tokens", [False, True])
@pytest.mark.parametrize("storage_dtype", ["bfloat16", "float32"])
def test_the_artifact_holds_the_models_states(
    tmp_path: Path, only_step_tokens: bool, storage_dtype: str
) -> None:
    plan = small_plan(only_step_tokens=only_step_tokens, storage_dtype=storage_dtype)
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        for batch in store.pending_batches():
            states = all_states(plan, batch)
            kind = np.float32 if storage_dtype == "float32" else states[2].dtype
            store.write(batch, {layer: array.astype(kind) for layer, array in states.items()})
        path = store.commit(model="m")
    if storage_dtype == "bfloat16":
        check_against_model(path, plan)
    report = verify_artifact(path)
    assert [layer.nonfinite_rows for layer in report.layers] == [0, 0]


def test_the_same_bytes_as_write_artifact(tmp_path: Path, plan: Plan) -> None:
    path = extract(tmp_path / "a", plan)
    artifact = open_artifact(path)
    layers = {}
    for layer in artifact.config.layers:
        with artifact.open_rows(layer) as reader:
            layers[layer.index] = reader.read(0, reader.num_rows)
    other = write_artifact(
        tmp_path / "b",
        model="fake",
        layers=layers,
        samples=plan.entries,
        final_norm=None,
        shard_rows=200,
        extra=artifact.config.extra,
    )
    ours, theirs = contents(path), contents(other)
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} == {"config.json"}
    config = json.loads(theirs["config.json"])
    for entry, final_norm in zip(config["layers"], (False, True), strict=True):
        entry["final_norm"] = final_norm
    assert config == json.loads(ours["config.json"])


def test_config_tells_of_the_extraction(done: Path, plan: Plan) -> None:
    config = json.loads((done / "config.json").read_text())
    assert config["extraction"]["plan"]["sha256"] == plan.sha256
    assert config["extraction"]["fingerprint"] == FINGERPRINT
    assert config["note"] == "kept"
    assert (config["layer"], config["saved_layers"]) == (4, [2, 4])
    assert [entry["final_norm"] for entry in config["layers"]] == [False, True]


def test_primary_and_further_fields(tmp_path: Path, plan: Plan) -> None:
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        for batch in plan.batches:
            store.write(batch, all_states(plan, batch))
        path = store.commit(
            model="m", primary=2, config_extra={"model": "x"}, index_extra={"made": "by"}
        )
    artifact = open_artifact(path)
    assert (artifact.config.layer, artifact.config.model) == (2, "m")
    assert artifact.index.extra == {"made": "by"}


def test_files_and_modes(tmp_path: Path, plan: Plan) -> None:
    before = os.umask(0o022)
    try:
        path = extract(tmp_path / "a", plan)
    finally:
        os.umask(before)
    assert len(contents(path)) == plan.totals.files + 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o644}


def test_jax_arrays(tmp_path: Path, plan: Plan, done: Path) -> None:
    with open_store(tmp_path / "b", plan, FINGERPRINT) as store:
        for batch in plan.batches:
            for layer, states in all_states(plan, batch).items():
                store.write(batch, {layer: jnp.asarray(states)})
        path = store.commit(model="fake", config_extra={"note": "kept"})
    assert contents(path) == contents(done)


def test_states_that_are_not_finite_are_written_and_told(tmp_path: Path, plan: Plan) -> None:
    batch = plan.batches[0]
    number = batch.samples[0]
    token = plan.samples[number].kept[0][0]
    last = plan.layers[-1].index
    with open_store(tmp_path / "m", plan, FINGERPRINT) as store:
        for one in store.pending_batches():
            states = all_states(plan, one)
            if one.number == batch.number:
                states[last][0, token : token + 2, 1] = np.inf
            store.write(one, states)
        store.commit(model="m")
        (warning,) = store.warnings
    name = plan.samples[number].entry.sample_id
    assert warning.startswith(f"layer {last}: 2 of the rows computed now hold NaN or infinity")
    assert f"token {token} of sample {name!r}" in warning
    artifact = open_artifact(tmp_path / "m")
    row = artifact.index.samples[number].global_offset
    with artifact.open_rows(artifact.layer()) as rows:
        assert np.isinf(rows.read(row, row + 2)[:, 1].astype(np.float32)).all()


def test_no_samples(tmp_path: Path) -> None:
    plan = small_plan([])
    path = extract(tmp_path / "a", plan)
    assert open_artifact(path).config.num_samples == 0
    assert plan.totals.files == 0


def test_other_files_are_left_alone(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "extraction_20260101.log").write_text("log")
    (path / ".spectra-0123456789abcdef.tmp").write_text("debris of a killed write")
    extract(path, plan)
    extract(path, plan, fresh=True)
    names = set(contents(path))
    assert "extraction_20260101.log" in names
    assert not any(name.endswith((".tmp", ".partial", ".lock", ".journal")) for name in names)


# ---- writing ----------------------------------------------------------------------------------


def test_commit_before_the_end(begun: Path, plan: Plan) -> None:
    with (
        pytest.raises(store_errors.UnfinishedStoreError, match=r"of \d+ batches were not written"),
        open_store(begun, plan, FINGERPRINT) as store,
    ):
        store.commit(model="m")
    assert not (begun / "config.json").exists()


WRONG: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda states: states[:, :-1], errors.ShardShapeError, r"shape \[\d+, \d+, 6\]; expected"),
    (lambda states: states[..., :-1], errors.ShardShapeError, f"expected .*{DIM}]"),
    (lambda states: states.astype(np.float32), errors.ShardDtypeError, "float32; expected bfl"),
]


@pytest.mark.parametrize(("change", "error", "text"), WRONG)
def test_states_that_do_not_fit(
    tmp_path: Path, plan: Plan, change: Callable[[Any], Any], error: type[Exception], text: str
) -> None:
    batch = plan.batches[0]
    with (
        pytest.raises(error, match=text),
        open_store(tmp_path / "a", plan, FINGERPRINT) as store,
    ):
        store.write(batch, {2: change(all_states(plan, batch)[2])})


def test_a_layer_twice_or_unplanned(tmp_path: Path, plan: Plan) -> None:
    batch = plan.batches[0]
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        states = all_states(plan, batch)
        store.write(batch, {2: states[2]})
        with pytest.raises(ValueError, match=r"layer 2 of batch 0 .* was written before"):
            store.write(batch, states)
        with pytest.raises(ValueError, match="layer 3 of batch 0 is not planned"):
            store.write(batch, {3: states[2]})
