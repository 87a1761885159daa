"""The part of the hub's file interface that huggingface_hub uses, on the loopback."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + 34 * "0"
DEAD = "http://127.0.0.1:9"
"""The discard port, where nothing listens."""


@dataclass
class Hub:
    """One commit of a few repositories, each a directory; `main` and `v1` both lead to it.

    A model's name is <owner>/<name>, a dataset's datasets/<owner>/<name>. `refused` maps further
    names to the status and error code that the hub answers with; `lost` are files that are listed
    and not sent; `planted` are listed in every repository beside the files that it has; `requests`
    are the paths asked for, with their method.
    """

    repositories: Mapping[str, Path]
    refused: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    planted: tuple[str, ...] = ()
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def downloads(self, repository: str = "") -> list[str]:
        """The files whose content was sent, of one repository or of all."""
        sent = (line.split("/resolve/") for line in self.requests if line.startswith("GET"))
        return sorted(
            parts[1].split("/", 1)[1]
            for parts in sent
            if len(parts) == 2 and parts[0].endswith(repository)
        )


def environment(cache: Path, endpoint: str) -> dict[str, str]:
    """For a process whose huggingface_hub, which reads it on import, is to ask this hub alone."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return inherited | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_CACHE": str(cache),
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub)) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what was asked is in `Hub.requests`."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        kind, *parts = path.removeprefix("/api").strip("/").split("/")
        if kind not in {"models", "datasets"}:  # as files of models are asked for
            kind, parts = "models", [kind, *parts]
        if len(parts) < 4:  # what the library asks on the side, such as the list of user agents
            self._refuse(404, "NotFound")
            return
        owner, name, verb, revision, *rest = parts
        repository = f"{owner}/{name}" if kind == "models" else f"{kind}/{owner}/{name}"
        if repository in self.hub.refused:
            self._refuse(*self.hub.refused[repository])
        elif repository not in self.hub.repositories:
            self._refuse(404, "RepoNotFound")
        elif revision not in {"main", "v1", COMMIT}:
            self._refuse(404, "RevisionNotFound")
        elif verb == "revision":
            self._json({"id": repository, "sha": COMMIT, "siblings": []})
        elif verb == "tree":
            self._json(_tree(self.hub.repositories[repository], self.hub.planted))
        else:
            self._file(repository, "/".join(rest))

    def _file(self, repository: str, name: str) -> None:
        path = self.hub.repositories[repository] / name
        if not path.is_file() or f"{repository}/{name}" in self.hub.lost:
            self._refuse(404, "EntryNotFound")
            return
        data = path.read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        self._send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def _json(self, document: object) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": "refused"})

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def _tree(directory: Path, planted: tuple[str, ...]) -> list[dict[str, object]]:
    files = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    return [
        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for name, data in (files | dict.fromkeys(planted, b"")).items()
    ]
