"""What a run that is past this machine would read, compute, hold, keep and send.

The engine's own plans are made of an outline, a few numbers in place of an index, and rates make
seconds of what they count.
"""

from __future__ import annotations

from spectra.planning.document import planned as planned
from spectra.planning.outline import Outline as Outline
from spectra.planning.outline import pool_plans as pool_plans
from spectra.planning.rates import Rates as Rates
