"""Tables of results: tidy ones for programs, wide ones for papers."""

from __future__ import annotations

from spectra.tables.select import at_matched_counts as at_matched_counts
from spectra.tables.select import select as select
from spectra.tables.select import selection as selection
from spectra.tables.wide import Wide as Wide
from spectra.tables.wide import wide as wide
from spectra.tables.write import FORMATS as FORMATS
from spectra.tables.write import as_markdown as as_markdown
from spectra.tables.write import write_table as write_table
