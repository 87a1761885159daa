"""The extraction benchmark counts its floor rightly, runs, and ends with its JSON line."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import typer
from flax import nnx
from typer.testing import CliRunner

from bench import _peer
from bench._forward_cost import products, published
from bench._peer import Absent, Peer, difference
from bench._subjects import SHAPES, of_shape
from bench.extraction import _check_same, app
from extract.decoder.cost import flops, visible_pairs
from extract.decoder.families import spec_of
from extract.decoder.modules import Decoder, Turned
from extract.decoder.placement import Placement

ROOT = Path(__file__).parent.parent
COMPARED = all(find_spec(name) for name in ("torch", "transformers"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "tiny.json"


@pytest.fixture(scope="module")
def printed(saved: Path) -> str:
    sizes = ("--shape", "tiny", "--lengths", "40,12", "--tokens", "48", "--repeats", "1")
    to = ("--backend", "cpu", "--save", str(saved))
    command = (sys.executable, "-m", "bench.extraction", *sizes, *to)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def document(printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def test_card_comes_before_the_table_and_json_last(printed: str) -> None:
    card, table = printed.index("measures"), printed.index("The forward pass")
    assert card < printed.index("load average") < table < printed.index('{"card"')


def test_card_says_what_the_figures_rest_on(document: dict[str, Any]) -> None:
    card = document["card"]
    assert card["sizes"]["model"] == "tiny"
    assert card["sizes"]["weights"] == "random"
    assert card["sizes"]["compute_dtype"] == "float32"
    assert card["sizes"]["attention"].startswith("chunked")
    compared = card["sizes"]["compared_with"]
    assert compared.startswith("transformers" if COMPARED else "not compared: ")
    rates = card["floor"]["matmul_tflops"]
    assert all(rate > 0 for found in rates.values() for rate in found.values())
    assert card["floor"]["tflops"] == max(max(found.values()) for found in rates.values())
    assert str(ROOT) not in json.dumps(card)


def test_every_length_has_its_figures_shortest_first(document: dict[str, Any]) -> None:
    cells = document["cells"]
    assert [(cell["sequences"], cell["tokens"]) for cell in cells] == [(4, 12), (1, 40)]
    for cell in cells:
        seconds = cell["seconds"]["ours"]
        assert 0 < seconds["min"] <= seconds["median"] <= seconds["max"]
        tokens = cell["batches"] * cell["sequences"] * cell["tokens"]
        assert cell["tokens_per_second"]["ours"] == pytest.approx(tokens / seconds["median"], 1e-3)
        assert cell["first_call_seconds"] > 0
        assert cell["host_peak_gib"] > 0
        assert ("torch" in cell["seconds"]) == COMPARED
        assert cell.get("largest_difference", 0) < 1e-4
    assert cells[0]["host_peak_gib"] <= cells[1]["host_peak_gib"]


def test_saved_files_repeat_what_was_printed(saved: Path, document: dict[str, Any]) -> None:
    assert json.loads(saved.read_text(encoding="utf-8")) == document
    assert "The forward pass" in saved.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("--shape", "abacus"), 2, "abacus"),
        (("--shape", "tiny", "--model", "some/model"), 2, "some/model"),
        (("--shape", "tiny", "--compute-dtype", "float16"), 2, "float16"),
        (("--shape", "tiny", "--lengths", "8,many"), 2, "many"),
        (("--shape", "tiny", "--tokens", "0"), 2, "tokens"),
        (("--shape", "tiny", "--save", "absent-directory/x.json"), 2, "absent-directory"),
        (("--shape", "tiny", "--backend", "abacus"), 2, "abacus"),
        (("--model", "absent-directory/model.gguf"), 3, "absent-directory"),
    ],
)
def test_errors_end_before_measuring(args: tuple[str, ...], code: int, told: str) -> None:
    done = CliRunner().invoke(app, args)
    assert done.exit_code == code
    assert done.stdout == ""
    assert told in done.stderr


@pytest.mark.parametrize("window", [None, 1, 3, 7, 20])
@pytest.mark.parametrize("length", [1, 2, 7, 19])
def test_visible_pairs_are_those_of_the_mask(length: int, window: int | None) -> None:
    query, key = np.indices((length, length))
    mask = (key <= query) & (key > query - (window or length))
    assert visible_pairs(length, window) == mask.sum()


@pytest.mark.parametrize("name", SHAPES)
def test_flops_are_those_of_every_matrix_and_every_pair(name: str) -> None:
    spec, batch, length = spec_of(SHAPES[name], name), 3, 11
    shapes = _shapes(name)
    matrices = [shape for path, shape in shapes.items() if len(shape) == 2 and "embed" not in path]
    pairs = sum(
        1
        for kind in spec.kinds
        for query in range(length)
        for key in range(query + 1)
        if kind.window is None or key > query - kind.window
    )
    expected = 2 * length * sum(rows * columns for rows, columns in matrices)
    expected += pairs * spec.num_heads * 2 * (2 * spec.head_dim)
    assert flops(spec, batch, length, blocks=spec.num_layers) == batch * expected
    assert {(n, (out, into)) for n, into, out in products(spec, 5).values()} <= {
        (5, shape) for shape in matrices
    }


@pytest.mark.parametrize(
    ("name", "millions", "untied", "gflops"),
    [
        ("smollm2-135m", 134.5, 1, None),
        ("qwen3-4b", 4022, 1, 9.7),
        ("olmo3-7b", 7298, 2, 14.7),
    ],
)
def test_shapes_are_the_models(
    name: str, millions: float, untied: int, gflops: float | None
) -> None:
    """By their published numbers of parameters; and by the known cost of a token at 8,192."""
    spec = spec_of(SHAPES[name], name)
    table = spec.vocab_size * spec.hidden_dim
    total = sum(int(np.prod(shape)) for shape in _shapes(name).values()) + (untied - 1) * table
    assert total / 1e6 == pytest.approx(millions, rel=1e-3)
    if gflops is not None:
        work = flops(spec, 1, 8192, blocks=spec.num_layers)
        assert work / 8192 / 1e9 == pytest.approx(gflops, abs=0.05)


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    spec = spec_of(SHAPES[name], name)
    empty = nnx.eval_shape(lambda: Decoder(spec, jnp.float32, blocks=spec.num_layers, norm=True))
    flat = nnx.to_flat_state(nnx.state(empty))
    return {".".join(map(str, path)): variable.shape for path, variable in flat}


def test_random_weights_are_of_the_dtype_and_keep_the_size_of_what_they_multiply() -> None:
    decoder = of_shape("tiny").load(jnp.bfloat16, Placement(jax.devices("cpu")[:1]))
    drawn = set()
    for path, variable in nnx.to_flat_state(nnx.state(decoder)):
        values = np.asarray(variable[...])
        assert values.dtype == jnp.bfloat16
        if values.ndim == 1:
            assert (values == 1).all()
        else:
            spread = values.astype(np.float32).std()
            inputs = values.shape[0 if isinstance(variable, Turned) else 1]
            assert spread == pytest.approx(inputs**-0.5, rel=0.1), path
            drawn.add(values.tobytes())
    assert len(drawn) == 1 + 4 * 7


def test_published_rate_is_told_of_its_device_and_dtype_alone() -> None:
    assert "989" in str(published("NVIDIA H200", "bfloat16"))
    assert published("NVIDIA H200", "float32") is None
    assert published("NVIDIA A10", "bfloat16") is None


def test_peer_says_why_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peer, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(Absent, match="not compared: torch not installed"):
        Peer("cpu", jnp.float32)


class _Tensor:
    """As much of a torch tensor as is asked of it."""

    def __init__(self, values: list[list[float]]) -> None:
        self._values = np.array(values, np.float32)

    def float(self) -> _Tensor:
        return self

    def cpu(self) -> _Tensor:
        return self

    def numpy(self) -> np.ndarray[Any, Any]:
        return self._values


def test_difference_is_that_of_the_worst_token() -> None:
    ours = jnp.array([[3.0, 4.0], [0.0, 1.5]])
    assert difference(ours, _Tensor([[3.0, 4.0], [0.0, 1.0]])) == pytest.approx(0.5)


@pytest.mark.parametrize("worst", [0.5, float("nan")])
def test_models_that_differ_end_in_an_error(
    worst: float, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"largest_difference": 1e-5}
    _check_same([{}, same], 1e-3)
    with pytest.raises(typer.Exit) as ended:
        _check_same([same, {"largest_difference": worst}], 1e-3)
    assert ended.value.exit_code == 1
    assert f"{worst}. Expected at most 0.001" in capsys.readouterr().err
