"""How far numbers can be trusted: blocks of dependent rows, and standard errors over them."""

from __future__ import annotations

from spectra.uncertainty.blocks import Blocks as Blocks
from spectra.uncertainty.carried import Carried as Carried
from spectra.uncertainty.jackknife import variances as variances
from spectra.uncertainty.rigidity import corrected_variance as corrected_variance
