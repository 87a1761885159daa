"""The public names of `extract`, and that asking for help costs nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import extract

HEAVY = "{'jax', 'flax', 'numpy', 'scipy', 'safetensors', 'ml_dtypes', 'tokenizers', 'jinja2'}"


def test_the_public_interface() -> None:
    assert set(dir(extract)) >= set(extract.__all__)
    assert sorted(extract.__all__) == [
        "ExtractConfig", "Extraction", "TextTokenizer", "Trace", "TraceStep", "encode_trace",
        "measure", "open_checkpoint", "read_traces", "run", "sample_traces", "write_traces",
    ]  # fmt: skip
    for name in extract.__all__:
        value = getattr(extract, name)
        assert value.__name__ == name
        assert value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = extract.nothing


@pytest.mark.parametrize(
    "code",
    [
        "import extract",
        "import spectra.cli._extract",
        "import extract; extract.read_traces",
        "from spectra.cli import app; app(['extract', '--help'], standalone_mode=False)",
    ],
)
def test_imports_nothing_heavy(code: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(); print({HEAVY} & set(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines()[-1] == "set()"
