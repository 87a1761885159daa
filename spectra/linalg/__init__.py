"""Host linear algebra in float64: reductions, values-only solves, QR and SVD of rows."""

from __future__ import annotations

from spectra.linalg.axes import Axes as Axes
from spectra.linalg.axes import WeightsOf as WeightsOf
from spectra.linalg.axes import axes as axes
from spectra.linalg.axes import carried as carried
from spectra.linalg.axes import carried_by_few as carried_by_few
from spectra.linalg.axes import scales_and_weights as scales_and_weights
from spectra.linalg.gram import add_gram as add_gram
from spectra.linalg.gram import put_row_gram as put_row_gram
from spectra.linalg.resolution import FAST as FAST
from spectra.linalg.resolution import statistic_error as statistic_error
from spectra.linalg.rownorm import normalised_rows as normalised_rows
from spectra.linalg.rownorm import zero_length as zero_length
from spectra.linalg.rowspace import Factor as Factor
from spectra.linalg.rowspace import led_by_ones as led_by_ones
from spectra.linalg.rowspace import spectra_of_blocks as spectra_of_blocks
from spectra.linalg.rowspace import spectra_of_factors as spectra_of_factors
from spectra.linalg.spectrum import Fault as Fault
from spectra.linalg.spectrum import Method as Method
from spectra.linalg.spectrum import Reduced as Reduced
from spectra.linalg.spectrum import Spectra as Spectra
from spectra.linalg.spectrum import Wanted as Wanted
from spectra.linalg.spectrum import solve as solve
from spectra.linalg.tridiagonal import Tridiagonal as Tridiagonal
from spectra.linalg.tridiagonal import eigenvalues as eigenvalues
from spectra.linalg.tridiagonal import reduce_along as reduce_along
from spectra.linalg.tridiagonal import reduce_in_place as reduce_in_place
from spectra.linalg.tridiagonal import reduction_routine as reduction_routine
from spectra.linalg.unlocked import F64 as F64
