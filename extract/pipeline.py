"""An extraction from options to artifact: plan, load, check, compute, write, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from extract.card import write_card
from extract.config import ExtractConfig
from extract.decoder.attention import choose, chunked
from extract.decoder.forward import Forward, Tap
from extract.decoder.load import copy_decoder, load_decoder
from extract.decoder.placement import Placement
from extract.decoder.selfcheck import check
from extract.decoder.streams import lanes, side_by_side
from extract.estimate import check_memory
from extract.heap import trim_heap
from extract.inputs import Inputs, gather
from extract.log import Log
from extract.sharing import Written, shared_store, together
from extract.store import Batch, Store, Totals
from extract.text import AlignmentReport
from extract.tokenizing import Progress
from spectra.distributed import ALONE, Processes
from spectra.provenance import peak_memory


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a run did.

    `computed_tokens` and `seconds` are those of the forward passes of this run, in all processes:
    tokens without padding, none where the directory was complete already.`card` is the dataset's,
    where it was asked for.
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


def run(
    config: ExtractConfig, *, progress: Progress = lambda *_: None, processes: Processes = ALONE
) -> Extraction:
    """Write the artifact that `config` asks for, or go on with one that was begun.

    A directory that an equal run was killed in is gone on with, and ends with the same bytes; one
    that an equal run completed is left as it is.

    Args:
        config: All options.
        progress: Told the stage and its progress; "computing" counts this process's tokens.
        processes: Those that share the work; each calls this, and returns when all is done.

    Raises:
        PeerError: Another process ended; DisagreementError: it was given something else.
        InputError: Something about the traces, the model or its tokenizer is wrong.
        UsageError: An option cannot be met, or the directory is in use or holds something else.
        OutputError: The operating system refuses to write.
    """
    inputs = gather(config, progress)
    check_memory(inputs)
    own, done, log = Written(0, 0.0, {}), list[Written](), None
    with shared_store(inputs, processes, progress) as store:
        if not store.complete:
            with Log.in_directory(config.out, processes.rank) as log:
                log.begin(inputs)
                for warning in store.warnings:
                    log.say(f"warning: {warning}")
                begin = time.perf_counter()
                forwards = load(inputs, log.say, progress)
                trim_heap()
                log.say(f"loaded in {time.perf_counter() - begin:.2f} s")
                begin = time.perf_counter()
                tokens = _compute(inputs, store, forwards, progress)
                own = Written(tokens, time.perf_counter() - begin, store.settle())
                log.say(
                    f"computed {tokens:,} tokens in {own.seconds:.2f} s; peak memory "
                    f"{peak_memory() / 1e6:,.0f} MB"
                )
                if processes.rank == 0:
                    done = together(processes, own)
                    _commit(inputs, store, done)
                    log.say("complete")
    if log is not None and processes.rank:
        done = together(processes, own)
    processes.gather("extraction", "complete")
    return Extraction(
        path=config.out,
        model=inputs.checkpoint.name,
        layers=tuple(layer.index for layer in inputs.plan.layers),
        totals=inputs.plan.totals,
        reports=inputs.reports,
        warnings=(*inputs.warnings, *store.warnings),
        computed_tokens=sum(one.tokens for one in done),
        seconds=max((one.seconds for one in done), default=0.0),
        log=None if log is None else log.path,
        card=write_card(config.out) if config.push_layout and processes.rank == 0 else None,
    )


def _commit(inputs: Inputs, store: Store, done: Sequence[Written]) -> None:
    """Make an artifact of what all have written."""
    for other in done[1:]:
        store.hear(other.nonfinite)
    store.commit(model=inputs.checkpoint.name, config_extra=inputs.config_extra)


def load(inputs: Inputs, say: Callable[[str], None], progress: Progress) -> list[Forward]:
    """The model, once for each group of devices, its attention checked.

    `say` is told how far that is from the plain one.
    """
    progress("loading", 0, 0)
    spread = inputs.spread
    placements = [Placement(group) for group in spread.groups]
    placement = placements[0]
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
    decoders = [decoder, *(copy_decoder(decoder, other) for other in placements[1:])]
    say(f"copies of the model: {spread.copies}, each on {spread.degree} devices")
    taps = [Tap(layer.index, layer.final_norm) for layer in layers]
    return [
        Forward(one, inputs.spec, taps=taps, attend=attend, placement=where)
        for one, where in zip(decoders, placements, strict=True)
    ]


def _compute(inputs: Inputs, store: Store, forwards: Sequence[Forward], progress: Progress) -> int:
    """Run what is pending, each batch on one copy of the model, and return its tokens."""
    batches = store.pending_batches()
    sizes = {batch.number: int(inputs.plan.lengths(batch).sum()) for batch in batches}
    done = sum(inputs.plan.samples[number].length for number in store.finished)
    total = done + sum(sizes.values())
    progress("computing", done, total)

    for batch, states in computed(inputs, forwards, batches):
        store.write(batch, states)
        trim_heap()
        done += sizes[batch.number]
        progress("computing", done, total)
    return sum(sizes.values())


def computed(
    inputs: Inputs,
    forwards: Sequence[Forward],
    batches: Sequence[Batch],
    layers: Collection[int] | None = None,
) -> Iterator[tuple[Batch, dict[int, jax.Array]]]:
    """Batches, in turn, with their states by layer, each computed on one copy of the model.

    With `layers`, of those alone.
    """

    def on(forward: Forward) -> Callable[[Batch], dict[int, jax.Array]]:
        return lambda batch: forward(inputs.plan.token_ids(batch), layers)

    copies = [on(forward) for forward in forwards]
    return side_by_side(lanes(copies, inputs.spread.streams), batches)
