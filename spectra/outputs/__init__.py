"""Results to files: the four documents a pool, the tidy table, and the run record that commits them."""

from __future__ import annotations

from .commit import RUN_FILE as RUN_FILE
from .commit import TABLE_FILE as TABLE_FILE
from .commit import commit as commit
from .documents import FILES as FILES
from .documents import Head as Head
from .documents import SweepOptions as SweepOptions
from .documents import documents as documents
from .groups import PoolRecords as PoolRecords
from .groups import pool_records as pool_records
from .table import pool_rows as pool_rows
from .table import table as table
