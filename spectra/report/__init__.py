"""Reports of runs: one page of HTML that works offline, and its charts as pictures."""

from __future__ import annotations

from spectra.report.write import write_report as write_report
