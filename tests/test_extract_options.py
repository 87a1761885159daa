"""What each option of an extraction changes, and what cannot be met."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from extract import ExtractConfig, pipeline, run, write_traces
from extract.decoder.errors import WeightsMismatchError
from extract.decoder.forward import Tap
from extract.inputs import gather
from extract.store.errors import (
    FingerprintMismatchError,
    ForeignArtifactError,
    NotADirectoryPathError,
    RepeatedLayerError,
)
from extract.weights.errors import ModelNotFoundError, RevisionNotApplicableError
from spectra import errors
from spectra.artifacts import open_artifact
from tests.artifact_files import write_tiny
from tests.extract_cases import (
    BLOCKS,
    Floats,
    alone,
    assert_rounded,
    assert_same,
    config_of,
    one_device,
    short_traces,
    stored,
    write_model,
)

TRACES = short_traces(12)
RAW = tuple(Tap(layer) for layer in range(BLOCKS + 1))
EPSILON = 1e-6
"""The model's, in its final norm."""


@dataclass(frozen=True)
class Made:
    directory: Path
    config: ExtractConfig

    @property
    def model(self) -> Path:
        return self.directory / "model"

    def run(self, **options: Any) -> Path:
        """An extraction with other options, to a new directory."""
        out = self.directory / f"run{len(list(self.directory.iterdir()))}"
        return run(replace(self.config, out=out, **options)).path

    def refused(self, **options: Any) -> str:
        """What is said of options that cannot be met, before anything is written."""
        out = self.directory / "refused"
        with pytest.raises(errors.SpectraError) as caught:
            run(replace(self.config, **{"out": out, **options}))
        assert not out.exists()
        return f"{type(caught.value).__name__}: {caught.value}"


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("extract")
    write_model(directory / "model")
    config = config_of(directory, TRACES, layers="all")
    run(config)
    return Made(directory, config)


# ---- layers and the final norm ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "saved"),
    [((-1,), [3]), ((0,), [0]), ((3, 1), [1, 3]), ((-2, -4), [0, 2]), ("all", [0, 1, 2, 3])],
    ids=str,
)
def test_layers(made: Made, layers: Any, saved: list[int]) -> None:
    path = made.run(layers=layers)
    config = open_artifact(path).config
    assert (config.layer, list(config.saved_layers)) == (saved[-1], saved)
    assert [layer.final_norm for layer in config.layers] == [index == BLOCKS for index in saved]
    for layer in saved:
        name = f"hidden_states_layer{layer}_shard000.safetensors"
        assert (path / name).read_bytes() == (made.config.out / name).read_bytes()


@pytest.mark.parametrize("layer", [4, -5, 99])
def test_layers_that_the_model_has_not(made: Made, layer: int) -> None:
    told = made.refused(layers=(0, layer))
    assert told.startswith(f"UnknownLayerError: Layer {layer} is asked for, and the model has 3")
    assert "0 (embeddings) to 3 (after the last block), or -1 (the last) to -4" in told


@pytest.mark.parametrize("layers", [(2, 2), (-1, 3), (0, 1, -4)])
def test_layers_asked_for_twice(made: Made, layers: tuple[int, ...]) -> None:
    assert made.refused(layers=layers).startswith(RepeatedLayerError.__name__)


def normed(states: Floats, model: Path) -> Floats:
    """The model's final norm, by its formula."""
    x = states.astype(np.float64)
    weight = load_file(model / "model.safetensors")["model.norm.weight"]
    x *= weight / np.sqrt((x * x).mean(axis=1, keepdims=True) + EPSILON)
    return x.astype(np.float32)


@pytest.mark.parametrize(
    ("choice", "with_norm"), [("auto", {3}), ("on", {0, 1, 2, 3}), ("off", set())]
)
def test_final_norm(made: Made, choice: str, with_norm: set[int]) -> None:
    path = made.run(final_norm=choice)
    flags = {layer.index: layer.final_norm for layer in open_artifact(path).config.layers}
    assert {layer for layer, flag in flags.items() if flag} == with_norm
    raw = [alone(made.model, trace, *RAW) for trace in TRACES]
    for layer in flags:
        for rows, states in zip(stored(path, layer), raw, strict=True):
            exact = states[layer]
            assert_rounded(rows, normed(exact, made.model) if layer in with_norm else exact)


# ---- which tokens -----------------------------------------------------------------------------


def test_only_step_tokens(made: Made) -> None:
    path = made.run(only_step_tokens=True)
    whole, steps = open_artifact(made.config.out).index, open_artifact(path).index
    for layer in range(BLOCKS + 1):
        for number, (full, kept) in enumerate(
            zip(stored(made.config.out, layer), stored(path, layer), strict=True)
        ):
            before, after = whole.samples[number].steps, steps.samples[number].steps
            assert [(s.category, s.char_start) for s in after] == [
                (s.category, s.char_start) for s in before
            ]
            assert after[-1].token_end == len(kept) < len(full)
            for old, new in zip(before, after, strict=True):
                assert_same(
                    kept[new.token_start : new.token_end], full[old.token_start : old.token_end]
                )


def test_only_step_tokens_where_no_step_is(made: Made) -> None:
    bare = [replace(trace, steps=()) for trace in TRACES[:2]]
    path = made.directory / "bare.jsonl"
    write_traces(path, bare)
    result = run(
        replace(made.config, traces=path, out=made.directory / "bare", only_step_tokens=True)
    )
    assert (result.totals.rows, result.computed_tokens) == (0, 0)
    assert open_artifact(result.path).config.num_samples == 2


def test_limit(made: Made) -> None:
    path = made.run(limit=5, layers=(-1,))
    ids = [sample.sample_id for sample in open_artifact(path).index.samples]
    assert ids == [trace.trace_id for trace in TRACES[:5]]
    for found, expected in zip(stored(path), stored(made.config.out), strict=False):
        assert_same(found, expected)


def test_a_limit_beyond_the_traces_takes_all(made: Made) -> None:
    assert made.run(limit=99, layers=(0,)).joinpath("index.json").read_bytes() == (
        made.config.out.joinpath("index.json").read_bytes()
    )


# ---- how --------------------------------------------------------------------------------------


def test_max_tokens_per_batch(made: Made) -> None:
    few, many = (
        gather(replace(made.config, max_tokens_per_batch=n)).plan.totals.batches
        for n in (None, 224)
    )
    assert (few, many) == (6, 12)
    path = made.run(max_tokens_per_batch=224)
    for layer in range(BLOCKS + 1):
        pairs = zip(stored(path, layer), stored(made.config.out, layer), strict=True)
        for found, expected in pairs:
            assert_same(found, expected)


def test_bfloat16(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def check(attend: object, spec: object, dtype: str, placement: object) -> float:
        checked.append(dtype)
        return 0.25

    monkeypatch.setattr(pipeline, "check", check)  # it is slow, and has tests of its own
    path = made.run(compute_dtype="bfloat16", layers=(1, -1))
    (log,) = path.glob("*.log")
    assert "attention chunked: differs by 0.25 from the plain one" in log.read_text()
    assert checked == ["bfloat16"]
    for layer in (1, BLOCKS):
        found, exact = (
            np.concatenate(stored(out, layer)).astype(np.float32) for out in (path, made.config.out)
        )
        error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
        assert 2e-3 < error < 4e-2  # above that of storing, 1.6e-3; of some layers' roundings


def test_rope_variant(made: Made) -> None:
    path = made.run(rope_variant="all_layers", layers=(-1,))
    fingerprint = json.loads((path / "config.json").read_text())["extraction"]["fingerprint"]
    assert fingerprint["rope_variant"] == "all_layers"
    for trace, rows in zip(TRACES, stored(path), strict=True):
        tap = Tap(BLOCKS, final_norm=True)
        assert_rounded(rows, alone(made.model, trace, tap, variant="all_layers")[BLOCKS])
        usual = alone(made.model, trace, tap)[BLOCKS]
        assert np.abs(rows.astype(np.float32) - usual).max() > 0.1
    with pytest.raises(FingerprintMismatchError, match=r'rope_variant was "all_layers", is "per_l'):
        run(replace(made.config, out=path, layers=(-1,)))


def test_fresh_starts_over(made: Made) -> None:
    path = made.run(layers=(1,))
    (path / "notes.txt").write_text("mine")
    run(replace(made.config, out=path, layers=(2,), fresh=True))
    shards = {file.name for file in path.glob("*.safetensors")}
    assert shards == {"hidden_states_layer2_shard000.safetensors"}
    assert (path / "notes.txt").read_text() == "mine"


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"final_norm": "yes"}, "final_norm is 'yes'. Expected one of: auto, on, off."),
        ({"compute_dtype": "float16"}, "Expected one of: auto, float32, bfloat16."),
        ({"rope_variant": "all"}, "Expected one of: per_layer_type, all_layers."),
        ({"backend": "gpus"}, "backend is 'gpus'. Expected one of: auto, cpu, gpu, tpu."),
        ({"max_tokens_per_batch": 0}, "max_tokens_per_batch is 0. Expected 1 or more."),
        ({"tensor_parallel": -1}, "tensor_parallel is -1. Expected 0 or more devices."),
        ({"limit": 0}, "limit is 0. Expected 1 or more."),
        ({"limit": 10**24}, "Expected at most 2,147,483,647."),
        ({"max_tokens_per_batch": 10**24}, "Expected at most 2,147,483,647."),
        ({"layers": ()}, 'layers is empty. Expected at least one layer, such as -1, or "all".'),
    ],
)
def test_wrong_options_say_what_is_expected(options: dict[str, Any], text: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        ExtractConfig(**{"traces": Path("t"), "model": "m", "out": Path("o"), **options})
    assert text in str(caught.value)


def test_options_by_name_are_ready_for_json(made: Made) -> None:
    found = json.loads(json.dumps(made.config.asdict()))
    assert found == {
        "traces": str(made.config.traces),
        "model": str(made.model),
        "out": str(made.config.out),
        "revision": None,
        "layers": "all",
        "final_norm": "auto",
        "compute_dtype": "auto",
        "rope_variant": "per_layer_type",
        "max_tokens_per_batch": None,
        "max_memory": 0,
        "tensor_parallel": 0,
        "limit": None,
        "only_step_tokens": False,
        "backend": "cpu",
        "fresh": False,
        "push_layout": False,
    }


def test_a_revision_of_a_local_model(made: Made) -> None:
    told = made.refused(revision="main")
    assert told.startswith(f"{RevisionNotApplicableError.__name__}: {made.model} is a local path")


def test_a_model_that_is_not_there(made: Made) -> None:
    told = made.refused(model=str(made.directory / "no" / "model"))
    assert told.startswith(ModelNotFoundError.__name__)


def test_traces_that_are_not_there(made: Made) -> None:
    told = made.refused(traces=made.directory / "no.jsonl")
    assert told.startswith(errors.MissingFileError.__name__)


@pytest.mark.parametrize("vocabulary", [61, 300])
def test_a_vocabulary_too_small_for_the_tokenizer(
    made: Made, tmp_path: Path, vocabulary: int
) -> None:
    write_model(tmp_path / "small", vocabulary=vocabulary)
    told = made.refused(model=str(tmp_path / "small"))
    assert told.startswith("FieldValueError: trace 't0' has the token id ")
    assert f"the model embeds ids below {vocabulary} (vocab_size)" in told
    assert "Tokenizer and weights are of different models" in told


def test_weights_of_another_config_are_refused_before_anything_is_written(
    made: Made, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    options = replace(made.config, model=str(model), out=tmp_path / "out")
    with pytest.raises(WeightsMismatchError, match=r"misshapen: 9"):
        run(options)
    assert not (tmp_path / "out").exists()


# ---- directories that are not ours ------------------------------------------------------------


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("text", [None, "{}", "[1]", "null"])
def test_a_config_that_is_no_artifacts_is_never_replaced(
    made: Made, tmp_path: Path, text: str | None, fresh: bool
) -> None:
    """The model's own directory above all."""
    model = write_model(tmp_path / "model")
    out = model
    if text is not None:
        out = tmp_path / "out"
        out.mkdir()
        (out / "config.json").write_text(text)
        (out / "index.json").write_text(text)
    before = contents(out)
    options = replace(made.config, model=str(model), out=out, fresh=fresh)
    with pytest.raises(ForeignArtifactError, match=r"It may be a model's, and this run would"):
        run(options)
    assert contents(out) == before


@pytest.mark.parametrize("fresh", [False, True])
def test_a_config_that_cannot_be_read_is_never_replaced(
    made: Made, tmp_path: Path, fresh: bool
) -> None:
    (tmp_path / "config.json").write_text('{"model_type":')
    with pytest.raises(errors.JsonSyntaxError):
        run(replace(made.config, out=tmp_path, fresh=fresh))
    assert contents(tmp_path) == {"config.json": b'{"model_type":'}


def test_inside_the_models_directory(made: Made, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    before = contents(model)
    path = run(replace(made.config, model=str(model), out=model / "states")).path
    open_artifact(path)
    (states,) = (file for file in model.iterdir() if file.is_dir())
    states.rename(tmp_path / "moved")
    assert contents(model) == before


def in_a_file(path: Path) -> None:
    path.write_text("")


def another_artifact(path: Path) -> None:
    write_tiny(path)


@pytest.mark.parametrize(
    ("make", "error"),
    [(in_a_file, NotADirectoryPathError), (another_artifact, ForeignArtifactError)],
)
def test_other_places(
    made: Made, tmp_path: Path, make: Callable[[Path], None], error: type[Exception]
) -> None:
    make(tmp_path / "out")
    with pytest.raises(error):
        run(replace(made.config, out=tmp_path / "out"))
