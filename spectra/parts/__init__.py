"""A run cut in parts by token rows: what one part collects, in a file that can be merged."""

from __future__ import annotations

from spectra.parts.collect import PartRun as PartRun
from spectra.parts.collect import check_memory as check_memory
from spectra.parts.collect import check_options as check_options
from spectra.parts.collect import collect_part as collect_part
from spectra.parts.collect import plan_part as plan_part
from spectra.parts.identity import fingerprint as fingerprint
from spectra.parts.loading import Parts as Parts
from spectra.parts.loading import open_parts as open_parts
from spectra.parts.loading import recorded_options as recorded_options
from spectra.parts.naming import DIRECTORY as DIRECTORY
from spectra.parts.naming import Part as Part
