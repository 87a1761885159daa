"""An extraction from options to artifact: plan, load, check, compute, write, commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax

from extract.card import write_card
from extract.config import ExtractConfig
from extract.decoder.attention import choose, chunked
from extract.decoder.forward import Forward, Tap
from extract.decoder.load import load_decoder
from extract.decoder.placement import Placement
from extract.decoder.selfcheck import check
from extract.decoder.streams import side_by_side
from extract.estimate import check_memory
from extract.heap import trim_heap
from extract.inputs import Inputs, gather
from extract.log import Log
from extract.store import Batch, Store, Totals, open_store
from extract.text import AlignmentReport
from extract.tokenizing import Progress
from spectra.provenance import peak_memory


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a run did.

    `computed_tokens` and `seconds` are those of the forward passes of this run: tokens without
    padding, none where the directory was complete already. `card` is the dataset's, where it was
    asked for.
    """

    path: Path
    model: str
    layers: tuple[int, ...]
    totals: Totals
    reports: dict[str, AlignmentReport]
    warnings: tuple[str, ...]
    computed_tokens: int
    seconds: float
    log: Path | None
    card: Path | None = None


def run(config: ExtractConfig, *, progress: Progress = lambda *_: None) -> Extraction:
    """Write the artifact that `config` asks for, or go on with one that was begun.

    A directory that an equal run was killed in is gone on with, and ends with the same bytes; one
    that an equal run completed is left as it is.

    Args:
        config: All options.
        progress: Told the stage and its progress; "computing" counts tokens.

    Raises:
        InputError: Something about the traces, the model or its tokenizer is wrong.
        UsageError: An option cannot be met, or the directory is in use or holds something else.
        OutputError: The operating system refuses to write.
    """
    inputs = gather(config, progress)
    check_memory(inputs)
    seconds, computed, log = 0.0, 0, None
    with open_store(
        config.out, inputs.plan, inputs.fingerprint, fresh=config.fresh, progress=progress
    ) as store:
        if not store.complete:
            with Log.in_directory(config.out) as log:
                log.begin(inputs)
                for warning in store.warnings:
                    log.say(f"warning: {warning}")
                begin = time.perf_counter()
                forward = load(inputs, log.say, progress)
                trim_heap()
                log.say(f"loaded in {time.perf_counter() - begin:.2f} s")
                begin = time.perf_counter()
                computed = _compute(inputs, store, forward, progress)
                seconds = time.perf_counter() - begin
                log.say(
                    f"computed {computed:,} tokens in {seconds:.2f} s; peak memory "
                    f"{peak_memory() / 1e6:,.0f} MB"
                )
                store.commit(model=inputs.checkpoint.name, config_extra=inputs.config_extra)
                log.say("complete")
    return Extraction(
        path=config.out,
        model=inputs.checkpoint.name,
        layers=tuple(layer.index for layer in inputs.plan.layers),
        totals=inputs.plan.totals,
        reports=inputs.reports,
        warnings=(*inputs.warnings, *store.warnings),
        computed_tokens=computed,
        seconds=seconds,
        log=None if log is None else log.path,
        card=write_card(config.out) if config.push_layout else None,
    )


def load(inputs: Inputs, say: Callable[[str], None], progress: Progress) -> Forward:
    """The model, its attention checked; `say` is told how far that is from the plain one."""
    progress("loading", 0, 0)
    placement = Placement(inputs.devices)
    attend = choose(inputs.platform, inputs.spec.head_dim, inputs.dtype)
    if attend is not chunked or inputs.dtype != "float32":
        difference = check(attend, inputs.spec, inputs.dtype, placement)
        say(f"attention {attend.__name__}: differs by {difference:.2g} from the plain one")
    layers = inputs.plan.layers
    decoder = load_decoder(
        inputs.spec,
        inputs.checkpoint.tensors,
        blocks=inputs.top,
        norm=any(layer.final_norm for layer in layers),
        dtype=inputs.dtype,
        placement=placement,
    )
    return Forward(
        decoder,
        inputs.spec,
        taps=[Tap(layer.index, layer.final_norm) for layer in layers],
        attend=attend,
        placement=placement,
    )


def _compute(inputs: Inputs, store: Store, forward: Forward, progress: Progress) -> int:
    """Run what is pending and return its tokens."""
    batches = store.pending_batches()
    sizes = {batch.number: int(inputs.plan.lengths(batch).sum()) for batch in batches}
    total, done = inputs.plan.totals.tokens, inputs.plan.totals.tokens - sum(sizes.values())
    progress("computing", done, total)

    def states_of(batch: Batch) -> dict[int, jax.Array]:
        return forward(inputs.plan.token_ids(batch))

    for batch, states in side_by_side(states_of, batches, inputs.streams):
        store.write(batch, states)
        trim_heap()
        done += sizes[batch.number]
        progress("computing", done, total)
    return sum(sizes.values())
