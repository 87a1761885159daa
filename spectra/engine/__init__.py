"""The engine: plan, one pass over the shards, batched solves; no output files, no flags."""

from __future__ import annotations

from spectra.engine.clock import Clock as Clock
from spectra.engine.collected import Array as Array
from spectra.engine.collected import Collected as Collected
from spectra.engine.collected import Form as Form
from spectra.engine.collected import forms as forms
from spectra.engine.config import RunConfig as RunConfig
from spectra.engine.counts import Counts as Counts
from spectra.engine.counts import CountTable as CountTable
from spectra.engine.energies import Energies as Energies
from spectra.engine.energies import Energy as Energy
from spectra.engine.evaluate import LayerPlan as LayerPlan
from spectra.engine.evaluate import LayerResult as LayerResult
from spectra.engine.evaluate import evaluate_layer as evaluate_layer
from spectra.engine.evaluate import evaluate_samples as evaluate_samples
from spectra.engine.evaluate import plan_layer as plan_layer
from spectra.engine.exchange import Exchanged as Exchanged
from spectra.engine.plan import PoolPlan as PoolPlan
from spectra.engine.plan import Sample as Sample
from spectra.engine.plan import draw as draw
from spectra.engine.pool import PoolResult as PoolResult
from spectra.engine.pool import Progress as Progress
from spectra.engine.share import Share as Share
from spectra.engine.source import STREAMED as STREAMED
from spectra.engine.source import Merged as Merged
from spectra.engine.source import Source as Source
from spectra.engine.source import collect_shares as collect_shares
from spectra.engine.source import middle as middle
from spectra.engine.source import pilot as pilot
from spectra.engine.statistics import compile_ahead as compile_ahead
from spectra.engine.statistics import statistics as statistics
