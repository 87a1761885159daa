"""Models, layers or pools side by side on the same traces: paired differences at matched counts."""

from __future__ import annotations

from spectra.compare.comparison import Comparison as Comparison
from spectra.compare.comparison import Prospect as Prospect
from spectra.compare.comparison import compare as compare
from spectra.compare.comparison import prospect as prospect
from spectra.sources import Source as Source
