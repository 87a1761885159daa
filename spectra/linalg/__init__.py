"""Host linear algebra in float64: tridiagonal reductions, values-only solves, QR and SVD of rows."""

from __future__ import annotations

from .resolution import statistic_error as statistic_error
from .rownorm import normalised_rows as normalised_rows
from .rowspace import spectra_of_blocks as spectra_of_blocks
from .spectrum import Reduced as Reduced
from .spectrum import Spectra as Spectra
from .spectrum import solve as solve
from .tridiagonal import F64 as F64
from .tridiagonal import Tridiagonal as Tridiagonal
from .tridiagonal import reduce_along as reduce_along
from .tridiagonal import reduce_in_place as reduce_in_place
