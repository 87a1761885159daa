"""Making artifacts: annotated hidden states in the layout that `spectra` reads.

`write_synthetic` makes a small one from random numbers whose covariance spectra are known; it is
what `spectra run` computes when it is given nothing else.
"""

from __future__ import annotations

from extract.synthetic import CATEGORIES as CATEGORIES
from extract.synthetic import DIM as DIM
from extract.synthetic import LAYERS as LAYERS
from extract.synthetic import population_covariance as population_covariance
from extract.synthetic import population_spectrum as population_spectrum
from extract.synthetic import write_synthetic as write_synthetic
