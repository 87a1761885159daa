"""Reading artifacts: what is legal, however it is told, and rows wherever the shards are cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra import errors
from spectra.artifacts import (
    Layer,
    Sample,
    Shard,
    Step,
    find_artifacts,
    open_artifact,
    verify_artifact,
    write_artifact,
)
from tests.artifact_files import (
    DIM,
    SHARDS,
    TOKENS,
    assert_snippet_agrees,
    edit,
    rows,
    safetensors_bytes,
    samples,
    step,
    write_tiny,
)
from tests.shared_data import shared

REAL = "artifacts/annotated_traces_reprs/smollm2-135m-instruct"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny")


def test_card_snippet_runs_on_what_is_written(tiny: Path) -> None:
    assert_snippet_agrees(tiny)


def test_card_snippet_agrees_on_the_real_artifact() -> None:
    assert_snippet_agrees(shared(REAL))


def test_the_real_artifact() -> None:
    artifact = open_artifact(shared(REAL))
    config, first = artifact.config, artifact.index.samples[0]
    assert (config.layer, config.saved_layers, config.hidden_dim) == (30, (15, 30), 576)
    assert (config.num_tokens, config.num_samples, config.num_steps) == (15043, 18, 483)
    assert [layer.final_norm for layer in config.layers] == [False, False]
    assert set(config.extra) == {"model_note"}
    assert (first.sample_id, first.problem_id, first.prompt_tokens) == ("ta-130-5", None, 124)
    assert first.extra == {"topic": "Spatial Reasoning"}
    assert first.steps[1] == Step(
        151, 172, 151, 172, "thought", "Initializing", 88, 157, {"step_idx": 1}
    )
    steps = [step for sample in artifact.index.samples for step in sample.steps]
    assert sum(step.segment == "thought" for step in steps) == 418
    assert sum(step.segment == "solution" for step in steps) == 65
    assert artifact.warnings == ()


def test_the_real_artifact_verifies() -> None:
    report = verify_artifact(shared(REAL))
    assert len(report.files) == 8
    assert [(check.num_rows, check.nonfinite_rows) for check in report.layers] == [(15043, 0)] * 2


def test_card_only_config(tiny: Path) -> None:
    kept = {"model", "layer", "hidden_dim", "storage_dtype", "num_tokens", "shards"}

    def forget(config: Any) -> None:
        for key in config.keys() - kept:
            del config[key]

    edit(tiny / "config.json", forget)
    config = open_artifact(tiny).config
    assert config.layers == (Layer(5, None, (Shard(SHARDS[0], 0, 10), Shard(SHARDS[1], 10, 30))),)
    assert (config.saved_layers, config.num_samples, config.num_steps) == ((5,), 2, 4)


def test_saved_layers_may_tell_of_more_than_the_card_lists(tiny: Path) -> None:
    edit(tiny / "config.json", lambda config: config.pop("layers"))
    config = open_artifact(tiny).config
    assert config.saved_layers == (2, 5)
    assert [layer.index for layer in config.layers] == [5]


def test_unsorted_shards_are_sorted(tiny: Path) -> None:
    expected = open_artifact(tiny).config

    def shuffle(config: Any) -> None:
        config["shards"].reverse()
        config["layers"].reverse()

    edit(tiny / "config.json", shuffle)
    assert open_artifact(tiny).config == expected


def test_unknown_fields_are_kept_and_written_back(tiny: Path, tmp_path: Path) -> None:
    edit(tiny / "config.json", lambda config: config.update(rope="none", hashes={"a": [1]}))

    def add(index: Any) -> None:
        index["note"] = "x"
        index["samples"][0]["topic"] = "t"
        index["samples"][0]["steps"][1]["step_idx"] = 1

    edit(tiny / "index.json", add)
    artifact = open_artifact(tiny)
    layers = {}
    for layer in artifact.config.layers:
        with artifact.open_rows(layer) as reader:
            layers[layer.index] = reader.read(0, reader.num_rows)
    copy = write_artifact(
        tmp_path / "copy",
        model=artifact.config.model,
        layers=layers,
        samples=artifact.index.samples,
        final_norm=artifact.layer().final_norm,
        shard_rows=20,
        extra=artifact.config.extra,
        index_extra=artifact.index.extra,
    )
    found = open_artifact(copy)
    assert found.config == artifact.config
    assert found.index == artifact.index
    assert found.config.extra == {"rope": "none", "hashes": {"a": [1]}}
    assert found.index.extra == {"note": "x"}


@pytest.mark.parametrize("name", ["thought", "thinking", "think", "Thinking", " THINK ", "Thought"])
def test_synonyms_of_thought(tiny: Path, name: str) -> None:
    edit(tiny / "index.json", lambda index: index["samples"][0]["steps"][0].update(segment=name))
    artifact = open_artifact(tiny)
    assert artifact.index.samples[0].steps[0].segment == "thought"
    assert artifact.warnings == ()


def test_other_segments_are_none_with_a_warning(tiny: Path) -> None:
    def rename(index: Any) -> None:
        for entry in index["samples"][1]["steps"]:
            entry["segment"] = "pre\u001b[31mamble"

    edit(tiny / "index.json", rename)
    artifact = open_artifact(tiny)
    assert [s.segment for s in artifact.index.samples[1].steps] == [None, None]
    (warning,) = artifact.warnings
    assert "2 steps have a segment other than thought or solution" in warning
    assert r"'pre\x1b[31mamble' (2)" in warning


def test_segments_and_categories_may_be_missing(tiny: Path) -> None:
    def forget(index: Any) -> None:
        first, second = index["samples"][0]["steps"]
        del first["segment"], first["category"], first["char_start"], first["char_end"]
        second.update(segment=None, category=" \t ")
        index["samples"][1]["steps"][0]["category"] = "  Final \n Answer "

    edit(tiny / "index.json", forget)
    artifact = open_artifact(tiny)
    steps = [step for sample in artifact.index.samples for step in sample.steps]
    assert [s.segment for s in steps] == [None, None, "thought", "thought"]
    assert [s.category for s in steps] == [None, None, "Final Answer", None]
    assert artifact.warnings == ()


def test_token_ranges_may_be_left_to_the_global_ones(tiny: Path) -> None:
    expected = open_artifact(tiny).index

    def forget(index: Any) -> None:
        for sample in index["samples"]:
            for entry in sample["steps"]:
                del entry["token_start"], entry["token_end"]

    edit(tiny / "index.json", forget)
    assert open_artifact(tiny).index == expected


def test_empty_overlapping_and_disordered_steps_are_legal(tmp_path: Path) -> None:
    ranges = [(5, 9), (0, 3), (2, 4), (3, 3), (8, 10), (6, 7)]
    steps = tuple(step(0, start, end, "thought", "x") for start, end in ranges)
    write_artifact(
        tmp_path / "a",
        model="m",
        layers={0: rows(10)},
        samples=[Sample("s", None, 0, 10, None, steps)],
        final_norm=None,
    )
    artifact = open_artifact(tmp_path / "a")
    assert artifact.index.samples[0].steps == steps
    overlaps, empty = artifact.warnings
    assert "of their sample: 3 (first" in overlaps
    assert "first: steps 1 and 2 of sample 's'" in overlaps
    assert "no row to any pool: 1." in empty


def test_disorder_alone_is_no_overlap(tmp_path: Path) -> None:
    steps = (step(0, 5, 9, "thought", "x"), step(0, 0, 5, "thought", "x"))
    sample = Sample("s", None, 0, 10, None, steps)
    write_artifact(
        tmp_path / "a", model="m", layers={0: rows(10)}, samples=[sample], final_norm=None
    )
    assert open_artifact(tmp_path / "a").warnings == ()


def test_rows_outside_every_sample_are_counted(tiny: Path) -> None:
    edit(tiny / "index.json", lambda index: index["samples"].pop(0))
    edit(tiny / "config.json", lambda config: config.update(num_samples=1, num_steps=2))
    assert "10 of 30 rows belong to no sample" in open_artifact(tiny).warnings[0]


def test_integer_ids_are_read_as_text(tiny: Path) -> None:
    edit(tiny / "index.json", lambda index: index["samples"][0].update(sample_id=7, problem_id=3))
    sample = open_artifact(tiny).index.samples[0]
    assert (sample.sample_id, sample.problem_id) == ("7", "3")


def test_links_as_in_a_download_cache(tiny: Path, tmp_path: Path) -> None:
    cache = tmp_path / "snapshots"
    cache.mkdir()
    for file in tiny.iterdir():
        (cache / file.name).symlink_to(os.path.relpath(file, cache))
    assert open_artifact(cache).config == open_artifact(tiny).config


def test_other_tensors_are_tolerated(tiny: Path) -> None:
    states = rows(10).tobytes()
    header = {
        "__metadata__": {"format": "pt"},
        "positions": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]},
        "hidden_states": {"dtype": "BF16", "shape": [10, DIM], "data_offsets": [16, 176]},
    }
    (tiny / SHARDS[0]).write_bytes(safetensors_bytes(header, bytes(16) + states))
    artifact = open_artifact(tiny)
    with artifact.open_rows(artifact.layer()) as reader:
        assert reader.read(0, 10).tobytes() == states


@given(data=st.data(), layer=st.sampled_from([0, 7]))
def test_rows_across_any_borders(
    data: st.DataObject, layer: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A step is read whole however many shards it spans, in every storage dtype."""
    total = data.draw(st.integers(0, 40))
    borders = sorted(data.draw(st.lists(st.integers(0, total), max_size=6)))
    dtype = data.draw(st.sampled_from([ml_dtypes.bfloat16, np.float16, np.float32]))
    states = rows(total).astype(dtype)
    directory = tmp_path_factory.mktemp("borders")
    cuts = list(zip([0, *borders], [*borders, total], strict=True))
    # A sample a cut, without steps: the writer cuts there, the index is then replaced.
    parts = [Sample(str(i), None, a, b - a, None, ()) for i, (a, b) in enumerate(cuts)]
    write_artifact(
        directory,
        model="m",
        layers={layer: states},
        samples=parts,
        final_norm=None,
        shard_rows=1,
    )
    artifact = open_artifact(directory)
    start = data.draw(st.integers(0, total))
    stop = data.draw(st.integers(start, total))
    with artifact.open_rows(artifact.layer(layer)) as reader:
        assert (reader.num_rows, reader.dim, reader.dtype) == (total, DIM, states.dtype)
        assert reader.read(start, stop).tobytes() == states[start:stop].tobytes()
        buffer = np.zeros((total + 1, DIM), dtype)
        found = reader.read(start, stop, buffer)
        assert np.shares_memory(found, buffer) or not found.size
        assert found.tobytes() == states[start:stop].tobytes()
        assert not buffer[stop - start :].any()


def test_rows_out_of_range(tiny: Path) -> None:
    artifact = open_artifact(tiny)
    with artifact.open_rows(artifact.layer()) as reader:
        for start, stop in ((-1, 2), (3, 2), (0, TOKENS + 1)):
            with pytest.raises(IndexError, match="of 30"):
                reader.read(start, stop)


def test_layers(tiny: Path) -> None:
    artifact = open_artifact(tiny)
    assert artifact.layer().index == artifact.layer(5).index == 5
    assert artifact.layer(2).index == 2
    with pytest.raises(errors.UnknownLayerError, match=r"layer 3; it has layers 2, 5"):
        artifact.layer(3)
    with artifact.open_rows(artifact.layer(2)) as reader:
        assert reader.read(0, TOKENS).tobytes() == rows(TOKENS, seed=2).tobytes()


def test_find_artifacts(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_tiny(tmp_path / "annotated_traces_reprs" / name)
    parent = tmp_path / "annotated_traces_reprs"
    (parent / "notes").mkdir()
    (parent / "readme.txt").write_text("x")
    assert find_artifacts(parent) == (parent / "a", parent / "b")
    assert find_artifacts(parent / "a") == (parent / "a",)
    with pytest.raises(errors.ArtifactNotFoundError, match=r"Give .*annotated_traces_reprs inst"):
        find_artifacts(tmp_path)
    with pytest.raises(errors.ArtifactNotFoundError, match=r"holds no config\.json"):
        find_artifacts(parent / "notes")
    with pytest.raises(errors.ArtifactNotFoundError, match="is not a directory"):
        find_artifacts(parent / "absent")
    with pytest.raises(errors.ArtifactNotFoundError, match="is not a directory"):
        find_artifacts(parent / "readme.txt")
    (parent / "a" / "config.json").unlink()
    with pytest.raises(errors.ArtifactNotFoundError, match="did not finish"):
        find_artifacts(parent / "a")


def test_an_index_of_many_steps_reads_in_seconds(tmp_path: Path) -> None:
    """50,000 steps in what would be well under a second on an idle core."""
    steps = [step(0, i, i + 1, "thought", "x") for i in range(50_000)]
    sample = Sample("s", None, 0, 50_000, None, tuple(steps))
    states = np.zeros((50_000, 1), ml_dtypes.bfloat16)
    write_artifact(tmp_path / "a", model="m", layers={0: states}, samples=[sample], final_norm=None)
    before = os.times().user
    assert open_artifact(tmp_path / "a").config.num_steps == 50_000
    assert os.times().user - before < 3


def test_tiny_is_what_it_says(tiny: Path) -> None:
    assert open_artifact(tiny).index.samples == tuple(samples())
