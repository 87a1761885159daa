"""Where states go: the plan of an extraction and the directory that it fills.

`make_plan` settles rows, shards and batches before the first forward pass; `open_store` gives a
directory that takes the batches' states in the background, survives being killed at any moment,
and ends as an artifact that `spectra.artifacts` reads, byte-identical whatever happened meanwhile.
`join_store` lets further processes fill it too.
"""

from __future__ import annotations

from extract.store.buckets import Batch as Batch
from extract.store.buckets import Batching as Batching
from extract.store.documents import artifact_documents as artifact_documents
from extract.store.identity import extraction_record as extraction_record
from extract.store.opening import join_store as join_store
from extract.store.opening import open_store as open_store
from extract.store.plan import Plan as Plan
from extract.store.plan import PlannedSample as PlannedSample
from extract.store.plan import SavedLayer as SavedLayer
from extract.store.plan import TokenizedSample as TokenizedSample
from extract.store.plan import Totals as Totals
from extract.store.planning import make_plan as make_plan
from extract.store.standing import check_place as check_place
from extract.store.store import Store as Store
