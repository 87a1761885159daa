"""What a forward pass costs: the operations of its matrix products and of attention."""

from __future__ import annotations

from extract.decoder.spec import DecoderSpec


def flops(spec: DecoderSpec, batch: int, length: int, *, blocks: int) -> int:
    """Floating-point operations of the first `blocks` blocks on a batch of whole sequences.

    2 for each token and weight, and 4 H D for each query and key that it sees: q·k and the
    weighted sum of v, a multiplication and an addition each.
    """
    weights = 2 * length * spec.parameters_read(blocks)
    pairs = sum(visible_pairs(length, kind.window) for kind in spec.kinds[:blocks])
    return batch * (weights + 4 * spec.num_heads * spec.head_dim * pairs)


def visible_pairs(length: int, window: int | None) -> int:
    """Pairs of a query and a key that it sees, itself included, in a sequence."""
    seen = length if window is None else min(window, length)
    return seen * (seen + 1) // 2 + (length - seen) * seen
