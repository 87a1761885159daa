"""The words of a dataset card, from the artifacts that it is about."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from extract.store.identity import leaves
from extract.store.standing import RECORD_NAME
from spectra.artifacts import Artifact, Layer
from spectra.markdown import escaped, quoted, table
from spectra.tally import Kind, tally

MARKER = "<!-- Written by spectra extract --push-layout, anew each time while this line stands. -->"

_SIZES = (
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"),
    *("1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
)
"""The hub's categories."""

_KINDS: tuple[tuple[Kind, str], ...] = (("segment", "(none)"), ("category", "(unlabelled)"))
_COUNTS = ("traces", "steps", "tokens")
_OVERVIEW = ("directory", "model", "layers", "width", "dtype", *_COUNTS, "bytes")
_MOST_LABELS = 40
_MOST_FACTS = 40

_FILES = """\
## Files

```
README.md
<directory>/
  config.json    model, layers, width, dtype, the shards of each layer, how they were made
  index.json     traces, and their steps as ranges of rows with segment and category
  hidden_states_layer<L>_shard<NNN>.safetensors
  extraction_<time>.log
```

Layer 0 is the embeddings, layer k the residual stream after block k. Each shard has one tensor,
`hidden_states` [rows, width]; the shards of a layer, one after the other, have a row a token. Rows
`global_start` to `global_end` (exclusive) of a step in `index.json` are the step's states. Which
rows are in which file is said in `config.json`, for the primary layer by `shards`, for every layer
by `layers`.

## Reading them

Spectral metrics of all directories, or of one; only the layers asked for are downloaded:

```
pip install "spectra-metrics[hub]"
spectra run hf://datasets/OWNER/NAME
spectra run hf://datasets/OWNER/NAME/<directory>
```

The folder is shared, from within it, by

```
hf upload OWNER/NAME . --repo-type dataset
```
"""


def card_text(artifacts: Iterable[Artifact]) -> str:
    """README.md of a dataset of these model directories, each looked at once."""
    models, rows, sections, tokens = dict[str, None](), [], [], 0
    for artifact in artifacts:
        models[artifact.config.model] = None
        rows.append(_overview(artifact))
        sections.append(_section(artifact))
        tokens += artifact.config.num_tokens
    title = f"Hidden states of {next(iter(models))}"
    title += f" and {len(models) - 1} more" * (len(models) > 1)
    about = "Hidden states of reasoning traces whose steps are annotated, a directory a model.\n"
    overview = table(_OVERVIEW, rows)
    matter = _front_matter(title, tokens)
    return "\n".join((matter, f"# {escaped(title)}\n", about, overview, _FILES, *sections))


def _front_matter(title: str, rows: int) -> str:
    # The hub's viewer would take config.json and index.json for the data.
    size = _SIZES[bisect_right([10**power for power in range(3, 13)], rows)]
    tags = "".join(f"- {tag}\n" for tag in ("hidden-states", "interpretability", "reasoning"))
    return (
        f"---\npretty_name: {quoted(title)}\nsize_categories:\n- {size}\ntags:\n{tags}"
        f"viewer: false\n---\n\n{MARKER}\n"
    )


def _overview(artifact: Artifact) -> tuple[str | int, ...]:
    config = artifact.config
    return (
        *(artifact.path.name, config.model, len(config.layers), config.hidden_dim),
        *(config.storage_dtype, config.num_samples, config.num_steps, config.num_tokens),
        sum(header.file_size for header in artifact.headers.values()),
    )


def _section(artifact: Artifact) -> str:
    """What one directory holds: its layers, its labels, and how it was made."""
    layers = ", ".join(_layer(artifact, layer) for layer in artifact.config.layers)
    text = f"## {escaped(artifact.path.name)}\n\nLayers: {layers}.\n\n"
    for name, none in _KINDS:
        found = tally(name, artifact.index.samples)
        rows = [
            (none if entry[name] is None else entry[name], *(entry[count] for count in _COUNTS))
            for entry in found[:_MOST_LABELS]
        ]
        text += table((name, *_COUNTS), rows) + "\n"
        if len(found) > _MOST_LABELS:
            text += f"… and {len(found) - _MOST_LABELS} more.\n\n"
    return text + _made(artifact)


def _layer(artifact: Artifact, layer: Layer) -> str:
    notes = ["primary"] * (layer.index == artifact.config.layer)
    notes += ["final norm applied"] * (layer.final_norm is True)
    return f"{layer.index} ({', '.join(notes)})" if notes else f"{layer.index}"


def _made(artifact: Artifact) -> str:
    """Model, arithmetic, device and versions, as config.json records them."""
    record = artifact.config.extra.get(RECORD_NAME)
    fingerprint = record.get("fingerprint") if isinstance(record, dict) else None
    if not isinstance(fingerprint, dict):
        return "How it was made, `config.json` does not say.\n"
    facts = [
        (name, "–" if value is None else str(value))
        for name, value in leaves(fingerprint)
        if not name.startswith("weights.files.")
    ]
    more = len(facts) - _MOST_FACTS
    shown = table(("how it was made", ""), facts[:_MOST_FACTS])
    return shown + (f"\n… and {more} more in `config.json`.\n" if more > 0 else "")
