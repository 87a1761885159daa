"""Models by name: fetched once and only what is needed, then found again without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hub_server import COMMIT, DEAD, Hub, environment, serving
from tests.weight_files import PARTS, tensors, write_model

# huggingface_hub reads its environment when it is imported: each run is a process of its own.
SCRIPT = """
import json, sys
from extract.weights import open_checkpoint
from spectra.errors import SpectraError
results = []
for model, revision in json.loads(sys.argv[1]):
    try:
        found = open_checkpoint(model, revision=revision)
        values = {name: float(found.tensors.read(name).sum()) for name in found.tensors.tensors}
        results.append({"name": found.name, "provenance": found.provenance, "sums": values})
    except SpectraError as error:
        results.append({"error": type(error).__name__, "text": str(error)})
print(json.dumps(results))
"""

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
NEEDED = sorted(
    [
        "config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        *SHARDS,
    ]
)


def ask(
    cache: Path, endpoint: str, requests: Sequence[tuple[str, str | None]], **settings: str
) -> list[dict[str, Any]]:
    """What `open_checkpoint` makes of each (model, revision), in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(requests)],
        env=environment(cache, endpoint) | settings,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Fetching" not in done.stderr  # no progress bars where there is no terminal
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    whole = write_model(root / "whole", parts=PARTS)
    for name in ("pytorch_model.bin", "model.Q4_0.gguf", "README.md", "consolidated.safetensors"):
        (whole / name).write_bytes(b"not wanted")
    single = write_model(root / "single")
    broken = write_model(root / "broken", parts=PARTS)
    (broken / SHARDS[1]).unlink()
    bare = root / "bare"
    bare.mkdir()
    (bare / "model.Q4_0.gguf").write_bytes(b"GGUF")
    repositories = {"o/whole": whole, "o/single": single, "o/broken": broken, "o/bare": bare}
    refused = {"o/gated": (403, "GatedRepo"), "o/down": (400, "Teapot")}
    lost = write_model(root / "lost")
    hub = Hub(repositories | {"o/lost": lost}, refused, frozenset({"o/lost/model.safetensors"}))
    with serving(hub) as running:
        yield running


@pytest.fixture(scope="module")
def first(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A cache, and the answers that filled it."""
    cache = tmp_path_factory.mktemp("cache")
    return cache, ask(cache, hub.url, [("o/whole", None)])


SUMS = {name: float(values.sum()) for name, values in tensors().items()}


def test_fetches_what_the_index_names_and_no_more(
    hub: Hub, first: tuple[Path, list[dict[str, Any]]]
) -> None:
    answer = first[1][0]
    assert (answer["name"], answer["sums"]) == ("o/whole", SUMS)
    assert [name for name in hub.downloads() if name in NEEDED] == NEEDED
    assert not {"pytorch_model.bin", "model.Q4_0.gguf", "README.md"} & set(hub.downloads())
    assert "consolidated.safetensors" not in hub.downloads()


def test_records_the_commit(first: tuple[Path, list[dict[str, Any]]]) -> None:
    provenance = first[1][0]["provenance"]
    assert (provenance["source"], provenance["repository"]) == ("hub", "o/whole")
    assert provenance["revision"] == COMMIT
    assert list(provenance["files"]) == list(SHARDS)


def test_offline_the_cache_answers(first: tuple[Path, list[dict[str, Any]]]) -> None:
    cache, online = first
    requests = [("o/whole", None), ("o/whole", COMMIT), ("o/absent", None), ("o/whole", "v2")]
    *found, absent, other = ask(cache, DEAD, requests, HF_HUB_OFFLINE="1")
    assert found == [online[0], online[0]]
    for answer, name in ((absent, "o/absent"), (other, "o/whole")):
        assert answer["error"] == "NotInCacheError"
        assert "HF_HUB_OFFLINE forbids asking the hub" in answer["text"]
        assert f"does not hold all files of {name}" in answer["text"]
        assert f"hf download {name} --revision" in answer["text"]


def test_without_a_network_the_cache_answers(first: tuple[Path, list[dict[str, Any]]]) -> None:
    cache, online = first
    found, absent = ask(cache, DEAD, [("o/whole", None), ("o/absent", None)])
    assert found == online[0]
    assert absent["error"] == "NotInCacheError"
    assert f"{DEAD} did not answer" in absent["text"]


def test_a_cache_that_lacks_a_shard_says_so_offline(
    hub: Hub, first: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    ask(tmp_path, hub.url, [("o/whole", None)])
    (shard,) = tmp_path.glob(f"models--o--whole/snapshots/*/{SHARDS[1]}")
    shard.unlink()
    (answer,) = ask(tmp_path, DEAD, [("o/whole", None)], HF_HUB_OFFLINE="1")
    assert answer["error"] in {"NotInCacheError", "MissingShardsError"}
    assert "hf download o/whole" in answer["text"]


FAULTS = [
    (("o/whole", "v9"), "UnknownRevisionError", "o/whole has no revision 'v9'"),
    (("o/whole", "0" * 40), "UnknownRevisionError", "a full commit hash"),
    (("o/absent", None), "UnknownRepositoryError", "neither a local path nor a model that"),
    (("o/gated", None), "GatedRepositoryError", "/o/gated, then log in with `hf auth login`"),
    (("o/broken", None), "MissingShardsError", f"hf download o/broken {SHARDS[1]} --revision"),
    (("o/bare", None), "NotAModelError", "its GGUF file with `hf download o/bare"),
    (("o/a--b", None), "UnknownRepositoryError", "it cannot be a name of the hub"),
    (("o/down", None), "NotInCacheError", "answered with an error (Bad request: "),
    (("o/lost", None), "DownloadError", "could not be fetched: RemoteEntryNotFoundError"),
]


def test_every_fault_has_its_error(hub: Hub, tmp_path: Path) -> None:
    answers = ask(tmp_path, hub.url, [request for request, _, _ in FAULTS])
    for answer, (request, error, text) in zip(answers, FAULTS, strict=True):
        assert answer.get("error") == error, (request, answer)
        assert text in answer["text"]


def test_one_file_by_tag(hub: Hub, tmp_path: Path) -> None:
    (answer,) = ask(tmp_path, hub.url, [("o/single", "v1")])
    assert (answer["name"], answer["sums"]) == ("o/single", SUMS)
    assert answer["provenance"]["revision"] == COMMIT


def test_a_local_directory_comes_first(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extract.weights import open_checkpoint

    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "o" / "whole")
    before = len(hub.requests)
    assert open_checkpoint("o/whole").provenance["source"] == "directory"
    assert len(hub.requests) == before
