"""The engine: plan, one pass over the shards, batched solves. It knows nothing of files out or flags."""

from __future__ import annotations

from .config import RunConfig as RunConfig
from .counts import Counts as Counts
from .counts import CountTable as CountTable
from .evaluate import LayerPlan as LayerPlan
from .evaluate import PoolResult as PoolResult
from .evaluate import evaluate_layer as evaluate_layer
from .evaluate import plan_layer as plan_layer
from .statistics import statistics as statistics
