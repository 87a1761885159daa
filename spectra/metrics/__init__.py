"""Statistics of spectra, one a file, and the conventions under which they are published.

Everything here is pure: arrays in, arrays out, NumPy or JAX, any leading batch axes.
"""

from __future__ import annotations

from ._namespace import Array as Array
from ._namespace import is_jax as is_jax
from ._namespace import namespace as namespace
from .alpha_req import alpha_req as alpha_req
from .alpha_req import slope_weights as slope_weights
from .convention import PRESETS as PRESETS
from .convention import Convention as Convention
from .convention import convention as convention
from .participation_ratio import participation_ratio as participation_ratio
from .rankme import effective_rank as effective_rank
from .rankme import rankme as rankme
from .rankme import rankme_sigma as rankme_sigma
from .stable_rank import stable_rank as stable_rank
from .summary import METRICS as METRICS
from .summary import STATUSES as STATUSES
from .summary import Summary as Summary
from .summary import summarise as summarise
from .top_share import top_share as top_share
