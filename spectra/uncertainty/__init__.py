"""How far numbers can be trusted: blocks of dependent rows, and standard errors over them."""

from __future__ import annotations

from spectra.uncertainty.blocks import Blocks as Blocks
from spectra.uncertainty.carried import Carried as Carried
from spectra.uncertainty.carried import Errors as Errors
from spectra.uncertainty.holm import holm as holm
from spectra.uncertainty.jackknife import delete_block_variances as delete_block_variances
from spectra.uncertainty.jackknife import variances as variances
from spectra.uncertainty.weights import MANY_BLOCKS as MANY_BLOCKS
from spectra.uncertainty.weights import Weights as Weights
