"""`python -m spectra.cli`, the same as `spectra`."""

from __future__ import annotations

from spectra.cli import main

main()
