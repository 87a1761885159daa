"""Files of tests that take long: what comes first, and what is not measured, for that reason."""

from __future__ import annotations

LONGEST = (
    *("report", "distributed_loopback", "extract_distributed", "against_reference", "fast"),
    *("bench_direct", "extract_spectral", "demo", "cli_examples", "extract_resume", "faults"),
    *("library", "engine", "hub_datasets", "security", "mesh", "store_faults", "cli_terminal"),
    *("extract_spread", "direct", "report_layers", "docs", "decoder_smollm2"),
)
"""Files that take most of the time: first, so that no worker is left with one of them alone."""

UNMEASURED = (
    *("against_reference", "artifacts", "bad_inputs_extract", "cli_terminal", "damaged_states"),
    *("decoder_forward", "decoder_golden", "decoder_load", "decoder_smollm2", "diagnostics"),
    *("distributed_engine", "doc_pictures", "docs", "embedded", "engine", "exact_jackknife"),
    *("extract_options", "extract_resume", "extract_run", "faults", "half_sample", "left_out"),
    *("output_space", "report", "security", "store_buckets", "store_faults", "store_shared"),
    *("text_align", "text_encode", "traces_files", "weights_smollm2"),
)
"""Files that take long and go over the lines of others: measuring costs half as much again."""
