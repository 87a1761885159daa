"""What the numbers would be by chance: labels permuted within traces, and Gaussian rows."""

from __future__ import annotations

from spectra.chance.baselines import Baselines as Baselines
from spectra.chance.baselines import baselines as baselines
