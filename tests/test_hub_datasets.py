"""Sources that are datasets of the hub: what is asked for, what is computed, what goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spectra.artifacts import find_artifacts, is_hub_url
from spectra.errors import HubAddressError
from spectra.extras import MissingExtraError
from tests.artifact_files import edit
from tests.cli_runs import SMALL
from tests.hub_server import COMMIT, DEAD, Hub, environment, serving
from tests.test_compare import write

# huggingface_hub reads its environment when it is imported: commands run in processes of their own.
SCRIPT = """
import json, sys
from tests.cli_runs import call
results = [call(*command) for command in json.loads(sys.argv[1])]
print(json.dumps([[one.exit_code, one.stdout, one.stderr] for one in results]))
"""

TOLD = ["config.json", "index.json"]
SHARDS = {layer: f"hidden_states_layer{layer}_shard000.safetensors" for layer in (1, 2)}
RUN = ("-q", "--backend", "cpu", "--pools", "all", *SMALL)
DRAW = ("--repeats", "1", "--backend", "cpu")


@dataclass
class Answer:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


def ask(cache: Path, endpoint: str, *commands: tuple[object, ...], **settings: str) -> list[Answer]:
    """What the command line answers, in one process."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, words],
        env=environment(cache, endpoint) | settings,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Answer(*answer) for answer in json.loads(done.stdout.splitlines()[-1])]


def address(name: str, path: str = "reprs/a") -> str:
    return f"hf://datasets/o/{name}/{path}"


def asked(hub: Hub, name: str) -> list[str]:
    return hub.downloads(f"/datasets/o/{name}")


def files_of(out: Path) -> dict[str, bytes]:
    """All results but the record of the run."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "run.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two models, with what else such a repository holds."""
    root = tmp_path_factory.mktemp("dataset")
    write(root / "reprs" / "a")
    write(root / "reprs" / "b", seed=1, traces=tuple(range(7)))  # else one blob would do for both
    for name in ("README.md", "reprs/README.md", "reprs/a/old/1/config.json", "other/config.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not wanted")
    return root


@pytest.fixture(scope="module")
def hub(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A repository of these files for each command, so that it shows what the command asked for."""
    names = ("run", "parent", "layer", "info", "dry", "drop", "verify", "a", "b", "base", "lost")
    repositories = {f"datasets/o/{name}": root for name in names}
    repositories["datasets/o/top"] = root / "reprs"
    bare = repositories["datasets/o/bare"] = tmp_path_factory.mktemp("bare")
    write(bare)
    for name in ("lacking", "hostile"):
        repositories[f"datasets/o/{name}"] = tmp_path_factory.mktemp(name)
        write(repositories[f"datasets/o/{name}"] / "reprs" / "a")
    (repositories["datasets/o/lacking"] / "reprs" / "a" / SHARDS[2]).unlink()
    edit(repositories["datasets/o/hostile"] / "reprs" / "a" / "config.json", _lead_out)
    lost = frozenset({f"datasets/o/lost/reprs/a/{SHARDS[2]}"})
    planted = ("../config.json", "reprs/../config.json", "reprs/../../../../config.json")
    refused = {"datasets/o/gated": (403, "GatedRepo"), "datasets/o/down": (400, "Teapot")}
    with serving(Hub(repositories, refused, lost, planted)) as running:
        yield running


def _lead_out(config: Any) -> None:
    for entry in (config, config["layers"][-1]):
        entry["shards"][0]["file"] = "../../../../hidden_states.safetensors"


@pytest.fixture(scope="module")
def online(
    hub: Hub, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[Answer]]:
    """A cache, a directory of results, and the answers that filled both."""
    cache, out = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("out")
    answers = ask(
        cache,
        hub.url,
        ("run", root / "reprs", "--out", out / "here", *RUN),
        ("run", "hf://datasets/o/run@v1/reprs/a", "--out", out / "run", *RUN),
        ("run", address("parent", "reprs/"), "--out", out / "parent", *RUN),
        ("run", address("layer"), "--layers", "1", "--out", out / "layer", *RUN),
        ("run", "hf://datasets/o/bare", "--out", out / "bare", *RUN),
        ("info", "hf://datasets/o/top", "--json"),
        ("info", address("info", "reprs"), "--json"),
        ("run", address("dry"), "--dry-run", "--json", *SMALL),
        ("run", address("drop"), "--dry-run", "--nonfinite", "drop", "--json", *SMALL),
        ("verify", address("verify"), "--json"),
        ("compare", address("a"), f"{address('b', 'reprs/b')}@1:mean", "--dry-run", "--json"),
        ("compare", address("a"), f"{address('b')}@1", "--out", out / "cmp", *DRAW),
        ("baselines", address("base"), "--permutations", "1", "--out", out / "base", *DRAW),
    )
    assert [answer.code for answer in answers] == [0] * len(answers), answers
    return cache, out, answers


def test_only_what_is_needed_is_fetched(hub: Hub, online: tuple[Path, Path, list[Answer]]) -> None:
    model = [f"reprs/a/{name}" for name in TOLD]
    both = [f"reprs/{name}/{file}" for name in "ab" for file in TOLD]
    first, second = (f"reprs/a/{SHARDS[layer]}" for layer in (1, 2))
    assert asked(hub, "run") == sorted([*model, second])
    assert asked(hub, "parent") == sorted([*both, second, f"reprs/b/{SHARDS[2]}"])
    assert asked(hub, "layer") == sorted([*model, first])
    assert asked(hub, "bare") == sorted([*TOLD, SHARDS[2]])
    assert asked(hub, "info") == both
    assert asked(hub, "top") == [f"{name}/{file}" for name in "ab" for file in TOLD]
    assert asked(hub, "dry") == model
    assert asked(hub, "drop") == sorted([*model, second])
    assert asked(hub, "verify") == sorted([*model, first, second])
    assert asked(hub, "base") == sorted([*model, second])


def test_results_are_those_of_the_directory(online: tuple[Path, Path, list[Answer]]) -> None:
    _, out, _ = online
    here = files_of(out / "here")
    assert files_of(out / "parent") == here
    alone = {name: data for name, data in here.items() if name.startswith("a/")}
    assert len(alone) == 5
    assert files_of(out / "run") == alone
    assert files_of(out / "bare") == {f"bare{name[1:]}": data for name, data in alone.items()}


def test_the_commit_is_recorded(online: tuple[Path, Path, list[Answer]]) -> None:
    _, out, _ = online
    given = json.loads((out / "run" / "a" / "run.json").read_text())["input"]
    assert given["hub"] == {"repository": "o/run", "commit": COMMIT, "path": "reprs/a"}
    assert set(given["files"]) == {*TOLD, SHARDS[2]}
    here = json.loads((out / "here" / "a" / "run.json").read_text())["input"]
    assert here["hub"] is None
    assert here["files"].items() > given["files"].items()


def test_compare_and_baselines_name_the_commit(
    hub: Hub, online: tuple[Path, Path, list[Answer]]
) -> None:
    _, out, answers = online
    asked_for_a, asked_for_b = asked(hub, "a"), asked(hub, "b")
    dry = answers[-3].document["sources"]
    found = json.loads((out / "cmp" / "comparison.json").read_text())["sources"]
    assert [source["source"] for source in dry] == [
        f"hf://datasets/o/a@{COMMIT}/reprs/a",
        f"hf://datasets/o/b@{COMMIT}/reprs/b",
    ]
    assert (dry[1]["layer"], dry[1]["pool"], list(dry[1]["files"])) == (1, "mean", TOLD)
    assert [source["hub"]["path"] for source in found] == ["reprs/a", "reprs/a"]
    assert f"reprs/a/{SHARDS[2]}" in asked_for_a
    assert [name for name in asked_for_b if "shard" in name] == [f"reprs/a/{SHARDS[1]}"]
    assert [name for name in asked_for_b if "/b/" in name] == [f"reprs/b/{name}" for name in TOLD]
    document = json.loads((out / "base" / "baselines.json").read_text())
    assert document["hub"]["commit"] == COMMIT


def test_sizes_are_told_before_anything_is_fetched(
    root: Path, online: tuple[Path, Path, list[Answer]]
) -> None:
    _, _, answers = online
    info, dry, drop = (answer.document["models"] for answer in answers[6:9])
    assert [model["path"] for model in info] == [
        f"hf://datasets/o/info@{COMMIT}/reprs/{name}" for name in "ab"
    ]
    states = 240 * 40 * 2
    assert [layer["bytes"] for layer in info[0]["layers"]] == [states, states]
    (read,) = (read for read in dry[0]["reads"] if read["file"] == SHARDS[2])
    assert read == {"file": SHARDS[2], "bytes": states, "download": True}
    whole = (root / "reprs" / "a" / SHARDS[2]).stat().st_size
    (read,) = (read for read in drop[0]["reads"] if read["file"] == SHARDS[2])
    assert read == {"file": SHARDS[2], "bytes": whole, "download": False}
    assert 0 < whole - states < 200


def test_verify_hashes_all_of_it(root: Path, online: tuple[Path, Path, list[Answer]]) -> None:
    (model,) = online[2][9].document["models"]
    sizes = {file["name"]: file["size"] for file in model["files"]}
    assert sizes == {
        name: (root / "reprs" / "a" / name).stat().st_size for name in (*TOLD, *SHARDS.values())
    }


def test_no_name_leads_out_of_the_cache(hub: Hub, online: tuple[Path, Path, list[Answer]]) -> None:
    assert not [request for request in hub.requests if ".." in request]
    assert not list(online[0].glob("config.json"))


def test_offline_the_cache_answers(
    hub: Hub, online: tuple[Path, Path, list[Answer]], tmp_path: Path
) -> None:
    cache, out, _ = online
    before = len(hub.requests)
    found, absent, shard, unasked = ask(
        cache,
        hub.url,
        ("run", "hf://datasets/o/run@v1/reprs/a", "--out", tmp_path, *RUN),
        ("run", address("absent"), "--out", tmp_path, *RUN),
        ("run", address("layer"), "--out", tmp_path, *RUN),
        ("info", "hf://datasets/o/run@v9/reprs/a"),
        HF_HUB_OFFLINE="1",
    )
    assert len(hub.requests) == before
    assert (found.code, found.stderr) == (0, "")
    assert files_of(tmp_path) == files_of(out / "run")
    for answer, name in ((absent, "absent"), (shard, "layer"), (unasked, "run")):
        assert answer.code == 3
        assert "Error: HF_HUB_OFFLINE forbids asking the hub" in answer.stderr
        assert f"hf download o/{name} --repo-type dataset --revision" in answer.stderr


def test_every_fault_has_its_error(hub: Hub, tmp_path: Path) -> None:
    faults = {
        "hf://datasets/o/run@v9/reprs/a": (3, "o/run has no revision 'v9'"),
        address("absent"): (3, f"o/absent is no dataset that {hub.url} shows you."),
        address("gated"): (
            3,
            f"page, {hub.url}/datasets/o/gated, then log in with `hf auth login`",
        ),
        address("down"): (3, "answered with an error (Bad request: "),
        address("lost"): (3, "could not be fetched: RemoteEntryNotFoundError"),
        address("lacking"): (
            3,
            f"hf://datasets/o/lacking@{COMMIT}/reprs/a: 1 of 1 shards listed in config.json are "
            f"missing: {SHARDS[2]}. Expected the dataset to have them; what it has is fetched by: "
            f"hf download o/lacking --repo-type dataset --revision {COMMIT} --include 'reprs/a/*'",
        ),
        address("hostile"): (3, "the shard name '../../../../hidden_states.safetensors' holds a"),
        address("run", "repr"): (3, f"hf://datasets/o/run@{COMMIT}/repr holds no config.json, and"),
        "hf://datasets/o/a--b/reprs": (3, "'o/a--b' is no dataset: it cannot be a name of the hub"),
        "hf://datasets/o": (2, "'hf://datasets/o' names no directory of a dataset. Expected hf://"),
    }
    commands = [("run", url, "--out", tmp_path, *RUN) for url in faults]
    several = ("baselines", address("run", "reprs"), "--out", tmp_path)
    *answers, parent = ask(tmp_path / "cache", hub.url, *commands, several)
    for answer, (url, (code, text)) in zip(answers, faults.items(), strict=True):
        assert answer.code == code, (url, answer)
        assert text in answer.stderr, url
    assert parent.code == 2
    assert "reprs holds 2 models: a, b. Expected the path of one." in parent.stderr
    assert not (tmp_path / "a").exists()


def test_without_a_network_nothing_hangs(tmp_path: Path) -> None:
    (answer,) = ask(tmp_path, DEAD, ("info", address("run")))
    assert answer.code == 3
    assert f"{DEAD} did not answer" in answer.stderr


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("hf://o/name/a", ""),
        ("hf://spaces/o/name", ""),
        ("hf://datasets/o/name@/a", ""),
        ("hf://datasets/o/name/../a", ": '..' leads out of the directory"),
        ("hf://datasets/o/name/a\\b", r": 'a\\b' holds a path separator"),
        ("hf://datasets/o/name/a\0b", r": 'a\x00b' holds a NUL"),
    ],
)
def test_an_address_that_names_no_directory(url: str, fault: str) -> None:
    text = re.escape(f" names no directory of a dataset{fault}. Expected ")
    with pytest.raises(HubAddressError, match=text):
        find_artifacts(url)


def test_a_path_may_be_an_address() -> None:
    assert is_hub_url(Path("hf://datasets/o/name"))
    with pytest.raises(HubAddressError, match=r"'\.\.' leads out"):
        find_artifacts(Path("hf://datasets/o/name/../a"))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r'pip install "spectra-metrics\[hub\]"'):
        find_artifacts("hf://datasets/o/name")
