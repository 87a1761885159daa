"""The spectral stage without shards: a model computes states, layers take them as they come."""

from __future__ import annotations

from spectra.backend import select_backend as select_backend
from spectra.direct.plan import DirectPlan as DirectPlan
from spectra.direct.plan import Need as Need
from spectra.direct.plan import Passes as Passes
from spectra.direct.plan import check_options as check_options
from spectra.direct.plan import plan_direct as plan_direct
from spectra.direct.run import run_direct as run_direct
from spectra.direct.seats import FIRST_ROWS as FIRST_ROWS
from spectra.direct.states import BatchStates as BatchStates
from spectra.direct.states import States as States
from spectra.engine.memory import Bytes as Bytes
from spectra.preparation import host_memory as host_memory
