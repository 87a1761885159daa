"""Several processes, on one machine or many, that work on one run: JAX's multi-process runtime.

All of them go through the same steps in the same order. They tell each other small things through
JAX's coordination service, and add arrays up with its collectives between CPUs (Gloo, over TCP).
"""

from spectra.distributed.connected import connect as connect
from spectra.distributed.launched import Cluster as Cluster
from spectra.distributed.launched import refuse_copies as refuse_copies
from spectra.distributed.processes import ALONE as ALONE
from spectra.distributed.processes import Processes as Processes
from spectra.distributed.processes import Traffic as Traffic
from spectra.distributed.processes import span as span
from spectra.distributed.watch import NOTHING as NOTHING
