"""Results to files: four documents a pool, the tidy table, the run record that commits them."""

from __future__ import annotations

from spectra.outputs.commit import RUN_FILE as RUN_FILE
from spectra.outputs.commit import TABLE_FILE as TABLE_FILE
from spectra.outputs.commit import commit as commit
from spectra.outputs.documents import FILES as FILES
from spectra.outputs.documents import Head as Head
from spectra.outputs.documents import SweepOptions as SweepOptions
from spectra.outputs.documents import documents as documents
from spectra.outputs.documents import jackknife_head as jackknife_head
from spectra.outputs.groups import PoolRecords as PoolRecords
from spectra.outputs.groups import pool_records as pool_records
from spectra.outputs.table import pool_rows as pool_rows
from spectra.outputs.table import table as table
