"""Rotary frequencies against float64 formulas, and the tables against cosines of exact angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from extract.decoder.rope import rope_of, tables
from extract.decoder.spec import Rope
from spectra.json_fields import Fields

HALF_ULP = 2.0**-24
"""Relative, of one float32 operation."""

HEAD_DIM, BASE, ORIGINAL = 64, 5e5, 8192


def rope(kind: str, **settings: Any) -> Rope:
    head_dim = settings.pop("head_dim", HEAD_DIM)
    fields = Fields({"rope_type": kind, "rope_theta": BASE, **settings}, "config.json")
    return rope_of(fields, head_dim, 1e4, 65536)


def wavelengths(head_dim: int = HEAD_DIM, base: float = BASE) -> NDArray[np.float64]:
    """Tokens in which pair i turns once, 2π base^(2i/D)."""
    return np.array([2 * math.pi * base ** (2 * i / head_dim) for i in range(head_dim // 2)])


def close(found: Rope, expected: NDArray[np.float64], base: float = BASE) -> None:
    """`expected` are wavelengths; the exponent of `base` is rounded, and four steps after it."""
    values = np.array(found.frequencies) * expected / (2 * math.pi)
    assert np.abs(values - 1).max() <= HALF_ULP * (4 + math.log(base))


@given(
    st.integers(1, 128).map(lambda n: 2 * n),
    st.floats(100, 1e8),
)
def test_plain(head_dim: int, base: float) -> None:
    found = rope("default", head_dim=head_dim, rope_theta=base)
    close(found, wavelengths(head_dim, base), base)
    assert found.scale == 1


def test_linear_is_plain_slowed_down() -> None:
    found = rope("linear", factor=4.0)
    close(found, 4 * wavelengths())
    assert found.scale == 1


@given(st.floats(1.5, 32), st.floats(0.5, 3), st.floats(0.5, 8), st.sampled_from([512, ORIGINAL]))
def test_llama3(factor: float, low: float, above: float, original: int) -> None:
    """By turns over the trained context: kept from `high`, divided below `low`, a line between."""
    high = low + above
    found = rope(
        "llama3",
        factor=factor,
        low_freq_factor=low,
        high_freq_factor=high,
        original_max_position_embeddings=original,
    )
    turns = original / wavelengths()
    kept = np.clip((turns - low) / (high - low), 0, 1)
    expected = turns * (kept + (1 - kept) / factor)
    # The share kept is a difference: its error is relative to turns / (high - low).
    error = np.abs(np.array(found.frequencies) * original / (2 * math.pi) / expected - 1)
    assert (error <= HALF_ULP * (4 + math.log(BASE)) * (1 + factor * turns / above)).all()
    assert found.scale == 1


def test_llama3_keeps_the_fast_and_divides_the_slow() -> None:
    found = rope(
        "llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=ORIGINAL,
    )
    plain = np.array(rope("default").frequencies)
    ratio = plain / np.array(found.frequencies)
    assert (ratio[wavelengths() < ORIGINAL / 4] == 1).all()
    assert (ratio[wavelengths() > ORIGINAL] == 8).all()
    assert set(ratio) > {1.0, 8.0}


def yarn_share_kept(fast: float, slow: float, *, truncate: bool) -> NDArray[np.float64]:
    """1 for pairs up to the one that turns `fast` times over the context, 0 from `slow` on."""

    def pair(turns: float) -> float:
        """Where 2π base^(2i/D) · turns is the context."""
        return HEAD_DIM / 2 * math.log(ORIGINAL / (2 * math.pi * turns)) / math.log(BASE)

    low, high = pair(fast), pair(slow)
    if truncate:
        low, high = float(math.floor(low)), float(math.ceil(high))
    return np.clip((high - np.arange(HEAD_DIM // 2)) / (high - low), 0, 1)


@pytest.mark.parametrize("truncate", [True, False, None])
@pytest.mark.parametrize(("fast", "slow"), [(None, None), (32.0, 1.0), (16.0, 2.0)])
@pytest.mark.parametrize("factor", [2.0, 8.0, None])
def test_yarn(
    factor: float | None, fast: float | None, slow: float | None, truncate: bool | None
) -> None:
    found = rope(
        "yarn",
        factor=factor,
        beta_fast=fast,
        beta_slow=slow,
        truncate=truncate,
        original_max_position_embeddings=ORIGINAL,
    )
    factor = factor or 65536 / ORIGINAL
    kept = yarn_share_kept(fast or 32, slow or 1, truncate=truncate is not False)
    assert set(np.round(kept, 3)) > {0.0, 1.0}
    close(found, wavelengths() / (kept + (1 - kept) / factor))
    assert found.scale == pytest.approx(0.1 * math.log(factor) + 1)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"attention_factor": 1.25}, 1.25),
        ({"mscale": 1.0, "mscale_all_dim": 1.0}, 1.0),
        (
            {"mscale": 1.0, "mscale_all_dim": 0.5},
            (0.1 * math.log(8) + 1) / (0.05 * math.log(8) + 1),
        ),
        ({"mscale": 2.0}, 0.1 * math.log(8) + 1),
        ({"factor": 1.0}, 1.0),
        ({"factor": 0.5}, 1.0),
    ],
)
def test_yarns_attention_factor(settings: dict[str, float], scale: float) -> None:
    usual: dict[str, Any] = {"factor": 8.0, "original_max_position_embeddings": 4096}
    found = rope("yarn", **usual | settings)
    assert found.scale == pytest.approx(scale)


def test_the_context_may_be_the_configs() -> None:
    for kind in ("yarn", "llama3"):
        settings: dict[str, Any] = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        stated = rope(kind, **settings, original_max_position_embeddings=65536)
        assert rope(kind, **settings) == stated


@pytest.mark.parametrize("scale", [1.0, 1.2079441541679836])
def test_tables(scale: float) -> None:
    frequencies = tuple(float(np.float32(f)) for f in (1, 0.3, 1e-3, 1e-6))
    cos, sin = tables(Rope(frequencies, scale), 9000)
    assert cos.shape == sin.shape == (9000, 4)
    assert cos.dtype == sin.dtype == np.float32
    angles = np.arange(9000)[:, None] * np.array(frequencies)
    # The angle is float32: half a unit in the last place of it, and the rounding of the result.
    error = scale * (angles * 2.0**-24 + 2.0**-23)
    assert (np.abs(cos - scale * np.cos(angles)) <= error).all()
    assert (np.abs(sin - scale * np.sin(angles)) <= error).all()
    assert (cos[0] == np.float32(scale)).all()


def test_a_longer_table_begins_with_the_shorter() -> None:
    long, short = tables(rope("default"), 300), tables(rope("default"), 7)
    for a, b in zip(long, short, strict=True):
        assert a[:7].tobytes() == b.tobytes()
