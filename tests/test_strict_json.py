"""The strict loader: what it refuses, each with its own error, and what survives a round trip."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra import errors
from spectra.strict_json import JSON, MAX_DEPTH, dumps, load, loads

REFUSED = [
    (b'{"a": 1, "a": 2}', errors.JsonDuplicateKeyError, "'a' 2 times"),
    (b'[{"b": {"a": 1, "a": 1}}]', errors.JsonDuplicateKeyError, "'a' 2 times"),
    (b"[NaN]", errors.JsonNumberError, "NaN is not JSON"),
    (b"[-Infinity]", errors.JsonNumberError, "-Infinity is not JSON"),
    (b"[1e999]", errors.JsonNumberError, "1e999 is beyond"),
    (b"[" + b"9" * 5000 + b"]", errors.JsonNumberError, "too many digits"),
    (b"\xef\xbb\xbf{}", errors.JsonEncodingError, "UTF-8 byte-order mark"),
    ("{}".encode("utf-16"), errors.JsonEncodingError, "UTF-16"),
    ("{}".encode("utf-16-le"), errors.JsonSyntaxError, "not JSON"),
    (b'["\xff"]', errors.JsonEncodingError, "byte 2 (0xff)"),
    (b"{} {}", errors.JsonTrailingTextError, "2 characters follow"),
    (b"", errors.JsonSyntaxError, "is empty"),
    (b'{"a": ', errors.JsonSyntaxError, "line 1, column 7"),
    (b"{'a': 1}", errors.JsonSyntaxError, "line 1"),
    (b'["\n"]', errors.JsonSyntaxError, "control character"),
    (b"[" * 100_000, errors.JsonDepthError, "more than 64 deep"),
    (b"[" * 500 + b"]" * 500, errors.JsonDepthError, "more than 64 deep"),
    (b'{"a":' * 65 + b"{}" + b"}" * 65, errors.JsonDepthError, "more than 64 deep"),
]


@pytest.mark.parametrize(("data", "error", "text"), REFUSED)
def test_refuses(data: bytes, error: type[errors.InputError], text: str) -> None:
    with pytest.raises(error) as caught:
        loads(data, where="here.json")
    assert str(caught.value).startswith("here.json")
    assert text in str(caught.value)
    assert len(str(caught.value)) < 400


def test_depth_cap_is_exact() -> None:
    nested = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    loads(b"[" + nested + b"]", where="x")
    with pytest.raises(errors.JsonDepthError):
        loads(b"[[" + nested + b"]]", where="x")


def test_file_faults(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(errors.MissingFileError, match="does not exist"):
        load(path, max_bytes=10)
    path.write_text("[1, 2, 3, 4]")
    with pytest.raises(errors.FileTooLargeError, match=r"has 12 bytes; .* at most 10"):
        load(path, max_bytes=10)
    assert load(path, max_bytes=12) == [1, 2, 3, 4]
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
    with pytest.raises(errors.GitLfsPointerError, match="git lfs pull"):
        load(path, max_bytes=1000)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(errors.NotARegularFileError, match="a directory"):
        load(tmp_path, max_bytes=10)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(errors.NotARegularFileError, match="a FIFO"):
        load(tmp_path / "fifo", max_bytes=10)


def test_reads_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("{}")
    (tmp_path / "config.json").symlink_to("blob")
    assert load(tmp_path / "config.json", max_bytes=10) == {}


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
TEXT = st.text(st.characters(codec=None))
VALUES: st.SearchStrategy[JSON] = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)


@given(VALUES)
def test_round_trip(value: JSON) -> None:
    text = dumps(value)
    assert text.isascii()
    assert loads(text.encode(), where="x") == value == json.loads(text)
    assert dumps(value, indent=None) == dumps(loads(text.encode(), where="x"), indent=None)


def test_lone_surrogates_and_controls_survive() -> None:
    value: JSON = "\ud800 \x00 \x1b[31m"
    assert loads(dumps(value).encode(), where="x") == value


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_writes_no_number_that_is_not_json(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps([number])
