"""What docs/security.md claims: each has tests that exist, and here are those of no other place."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import pickle
import re
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import spectra
from extract import run as extract
from extract.text._chat import render_prompt
from extract.text.errors import ChatTemplateError
from extract.weights import open_checkpoint
from extract.weights.errors import MissingWeightsError
from spectra.report import write_report
from tests.artifact_files import edit, write_tiny
from tests.browser import opened
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.imports import PACKAGES, ROOT
from tests.test_engine import CONFIG

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
CLAIMS = re.findall(r"^\| (\*\*.+?) \| (.+) \|$", PAGE, re.MULTILINE)
RUNS_CODE = {
    *("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "runpy", "code", "torch"),
    *("subprocess", "pty", "pdb", "ctypes.util"),
}
LAZY = {
    *("spectra/__init__.py", "spectra/extras.py"),
    *("extract/__init__.py", "extract/traces/adapters/__init__.py"),
}
"""Where modules are imported late, by names that stand in the source."""
SPEAKS = {
    *("urllib.request", "http.client", "http.server", "ftplib", "smtplib", "socketserver"),
    *("requests", "httpx", "aiohttp", "websockets"),
}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found | {name.split(".")[0] for name in found}


@pytest.fixture(autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


# ---- the page -----------------------------------------------------------------------------------


def test_every_claim_names_tests_that_exist() -> None:
    assert len(CLAIMS) == PAGE.count("\n| **")
    for claim, held in CLAIMS:
        named = re.findall(r"`(test_\w+)\.py::(test_\w+)`", held)
        assert named, claim
        assert len(named) == held.count("`") / 2, claim
        for module, test in named:
            text = (ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8")
            assert f"\ndef {test}(" in text, f"{claim}: {module}.py has no {test}"


def test_every_test_here_holds_a_claim() -> None:
    own = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text(encoding="utf-8"), re.M))
    of_the_page = {name for name in own if name.startswith("test_every_")}
    assert own - of_the_page == set(re.findall(r"`test_security\.py::(\w+)`", PAGE))


# ---- code ---------------------------------------------------------------------------------------


def test_nothing_runs_code_or_unpickles() -> None:
    for path, tree in sources():
        assert not imported(tree) & RUNS_CODE, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "compile", "__import__"}, path
                assert not called.startswith(("os.system", "os.popen", "os.exec", "os.spawn")), path
                assert called not in {"np.load", "numpy.load", "np.fromfile"}, path
                if called.endswith("import_module"):
                    assert path in LAZY, path


def test_pickled_weights_are_refused_unread(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    (model / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(MissingWeightsError, match="pickled weights are not read"):
        open_checkpoint(str(model))
    assert not (tmp_path / "ran").exists()


def test_remote_code_is_not_looked_at(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    config = config_of(tmp_path, short_traces(1))
    edit(
        tmp_path / "model" / "config.json",
        lambda document: document.update(
            auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"}, trust_remote_code=True
        ),
    )
    (tmp_path / "model" / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert extract(config).computed_tokens > 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__self__.__class__ }}",
        "{{ ('%s' | attr('format'))('').__class__ }}",
        "{{ messages.__init__.__globals__['__builtins__'] }}",
        "{% include '/etc/hostname' %}",
        "{% import 'os' as os %}",
        "{% extends '/etc/hostname' %}",
        "{{ open('/etc/hostname').read() }}",
        "{{ self._TemplateReference__context.environ }}",
    ],
)
def test_a_template_sees_no_file_and_no_environment(template: str) -> None:
    try:
        rendered = render_prompt(template, [{"role": "user", "content": "x"}], {}, "trace 'a'")
    except ChatTemplateError:
        return
    assert rendered == "", "what the sandbox withholds is nothing"


# ---- names --------------------------------------------------------------------------------------


def test_no_name_in_an_input_becomes_a_path(tmp_path: Path) -> None:
    """Labels, ids and names of models that would lead elsewhere, through a run and its report."""
    inside = tmp_path / "inside" / "below"
    src = write_tiny(inside / "in" / "plain")
    away = "../../../escaped"

    def rename(index: Any) -> None:
        sample = index["samples"][0]
        sample["sample_id"] = sample["problem_id"] = away
        for step in sample["steps"]:
            step["category"] = away

    edit(src / "index.json", rename)
    edit(src / "config.json", lambda config: config.update(model=away))
    (run,) = spectra.run(src, inside / "out", CONFIG)
    assert run.out == inside / "out" / "plain"
    write_report([inside / "out"], inside / "report.html", figures=inside / "figures")
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert found == {"inside"}
    assert {path.name for path in (tmp_path / "inside").iterdir()} == {"below"}
    assert {path.name for path in inside.iterdir()} == {"in", "out", "report.html", "figures"}
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]


# ---- the report ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    spectra.run(write_tiny(root / "in" / "tiny"), root / "out", CONFIG)
    write_report([root / "out"], root / "report.html")
    return root / "report.html"


def test_the_reports_policy_names_its_scripts(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in scripts]
    named = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert len(named) == 2
    assert rules["script-src"].split() == [*named, "'unsafe-eval'"]


def test_a_script_that_the_policy_does_not_name_is_not_run(
    report: Path, tmp_path: Path, browser: Browser
) -> None:
    """As if escaping had failed: a script, a handler and a link in the page's own text."""
    page = report.read_text(encoding="utf-8")
    evil = (
        "<script>window.ran = 1</script><img src='data:image/png,x' onerror='window.ran = 2'>"
        "<a id='evil' href='javascript:window.ran = 3'>x</a>"
    )
    spoiled = tmp_path / "spoiled.html"
    spoiled.write_text(page.replace("<header>", f"<header>{evil}"), encoding="utf-8")
    with opened(browser, spoiled) as seen:
        seen.page.click("#evil")
        seen.page.wait_for_timeout(200)
        assert seen.js("window.ran") is None
        assert any("Content Security Policy" in text for text in seen.said)


# ---- the net, and what is written ---------------------------------------------------------------


def test_a_run_and_an_extraction_open_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any) -> None:
        raise AssertionError(f"a connection to {arguments[1:]}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    write_model(tmp_path / "model")
    config = config_of(tmp_path, short_traces(2))
    extract(config)
    (run,) = spectra.run(config.out, tmp_path / "results", CONFIG)
    write_report([run.out], tmp_path / "report.html")


PROBE = {
    *("socket.socket", "socket.AF_INET", "socket.AF_INET6", "socket.has_dualstack_ipv6"),
    *("socket.SOL_SOCKET", "socket.SO_REUSEADDR"),
}


def test_only_the_hubs_module_speaks_to_the_net() -> None:
    for path, tree in sources():
        assert not imported(tree) & SPEAKS, path
        if "socket" in imported(tree):
            names = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
            used = {name for name in names if name.startswith("socket.")}
            # Whether a port is free is asked by taking it: nothing listens there or connects.
            allowed = PROBE if path == "spectra/distributed/launched.py" else set()
            assert used <= {"socket.gethostname", *allowed}, path
            last = {name.rpartition(".")[2] for name in names}
            assert not last & {"connect", "connect_ex", "listen", "accept", "sendto"}, path
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        given = [argument for call in calls for argument in call.args]
        if any(isinstance(one, ast.Constant) and one.value == "huggingface_hub" for one in given):
            assert path in {"spectra/hub.py", "extract/weights/_hub.py"}, path


def test_a_run_record_holds_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    (run,) = spectra.run(write_tiny(tmp_path / "m"), tmp_path / "out", CONFIG)
    for path in run.out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"hf_secretsecret" not in content
            assert b"verysecret" not in content
    assert json.loads((run.out / "run.json").read_text())["outputs"]
