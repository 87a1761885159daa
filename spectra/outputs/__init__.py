"""Results to files: four documents a pool, the tidy table, the run record that commits them."""

from __future__ import annotations

from spectra.outputs.commit import INFLUENCES_FILE as INFLUENCES_FILE
from spectra.outputs.commit import RUN_FILE as RUN_FILE
from spectra.outputs.commit import TABLE_FILE as TABLE_FILE
from spectra.outputs.commit import commit as commit
from spectra.outputs.commit import is_output_name as is_output_name
from spectra.outputs.commit import run_lock as run_lock
from spectra.outputs.diagnostics import rounding_warnings as rounding_warnings
from spectra.outputs.documents import FILES as FILES
from spectra.outputs.documents import Head as Head
from spectra.outputs.documents import SweepOptions as SweepOptions
from spectra.outputs.documents import documents as documents
from spectra.outputs.documents import jackknife_head as jackknife_head
from spectra.outputs.groups import PoolRecords as PoolRecords
from spectra.outputs.groups import basic_labels as basic_labels
from spectra.outputs.groups import mean_and_sd as mean_and_sd
from spectra.outputs.groups import pool_records as pool_records
from spectra.outputs.groups import sampled_metrics as sampled_metrics
from spectra.outputs.influences import INFLUENCE_COLUMNS as INFLUENCE_COLUMNS
from spectra.outputs.influences import influence_rows as influence_rows
from spectra.outputs.layers import LAYERS_FILE as LAYERS_FILE
from spectra.outputs.layers import layer_profile as layer_profile
from spectra.outputs.space import check_space as check_space
from spectra.outputs.space import expected_bytes as expected_bytes
from spectra.outputs.table import COLUMNS as COLUMNS
from spectra.outputs.table import csv_lines as csv_lines
from spectra.outputs.table import csv_table as csv_table
from spectra.outputs.table import pool_rows as pool_rows
