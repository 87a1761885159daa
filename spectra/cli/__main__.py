"""`python -m spectra.cli`, the same as `spectra`."""

from __future__ import annotations

from spectra.cli import app

app(prog_name="spectra")
