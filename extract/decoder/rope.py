"""Rotary frequencies: the plain ones, and the scalings that stretch a trained context.

θ_i = base^(-2i / head_dim) (Su et al. 2021, RoFormer, section 3.4.2), then per scaling:

- linear: θ_i / factor (Chen et al. 2023, Extending Context Window via Position Interpolation);
- llama3: wavelengths above original/low_freq_factor are divided by factor, those below
  original/high_freq_factor kept, linear between (Llama 3.1's reference implementation);
- yarn: a ramp between kept and divided frequencies by turns over the original context, and
  cosines scaled by 0.1 ln(factor) + 1 (Peng et al. 2023, YaRN, sections 3.2 to 3.4).

The arithmetic is float32, step by step as the models were trained and as transformers computes it:
at position 8,000 a frequency's last bit is worth 5e-4 radians.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from extract.decoder.errors import UnsupportedModelError
from extract.decoder.spec import Rope
from spectra.errors import FieldValueError
from spectra.json_fields import Fields

Float32 = NDArray[np.float32]
_ONE = np.float32(1)


def rope_of(settings: Fields, head_dim: int, base: float, max_positions: int | None) -> Rope:
    """The embedding that `settings` describe.

    Args:
        settings: a `rope_parameters` or `rope_scaling` object; its `rope_type` (or `type`) chooses
            the scaling, absent means plain.
        head_dim: dimensions of a head, even.
        base: θ's base where `settings` have no `rope_theta`.
        max_positions: the config's `max_position_embeddings`.

    Raises `UnsupportedModelError` on another scaling, `FieldTypeError` and `FieldValueError`.
    """
    kind = settings.fields.get("rope_type", settings.fields.get("type")) or "default"
    if not isinstance(kind, str) or kind not in _SCALINGS:
        raise UnsupportedModelError(
            f"{settings.where}: rope_type is {ascii(kind)[:60]}. Expected one of "
            f"{', '.join(sorted(_SCALINGS))}; other scalings are not implemented."
        )
    refuse_partial_rotation(settings)
    base = settings.number_or_none("rope_theta", above=1) or base
    exponents = np.arange(0, head_dim, 2).astype(np.float32) / np.float32(head_dim)
    try:
        # Numbers beyond float32, or a logarithm of nothing, are told of below.
        with np.errstate(all="ignore"):
            # The power is rounded once: float32 powers differ by library in one frequency of five.
            powers = (np.float64(base) ** exponents.astype(np.float64)).astype(np.float32)
            frequencies, scale = _SCALINGS[kind](powers, settings, base, max_positions)
            if np.isfinite(frequencies).all() and np.isfinite(np.float32(scale)):
                return Rope(tuple(map(float, frequencies)), scale)
    except (ArithmeticError, ValueError):
        pass
    raise FieldValueError(
        f"{settings.where}: the settings of {kind} give rotary frequencies that are no finite "
        "numbers. Expected a base, factors and a context as models have them; fetch the file again."
    )


def refuse_partial_rotation(fields: Fields) -> None:
    """Raises `UnsupportedModelError` where only a part of each head turns."""
    share = fields.number_or_none("partial_rotary_factor")
    if share not in {None, 1}:
        raise UnsupportedModelError(
            f"{fields.where}: partial_rotary_factor is {share}. Expected 1: heads that turn in "
            "part are not implemented."
        )


def tables(rope: Rope, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines for positions 0 to `length` - 1, each float32 [length, head_dim / 2]."""
    frequencies = np.array(rope.frequencies, np.float32)
    angles = np.arange(length, dtype=np.float32)[:, None] * frequencies[None, :]
    # Of the float32 angle, rounded once: the same on every device.
    wide = angles.astype(np.float64)
    scale = np.float32(rope.scale)
    return np.cos(wide).astype(np.float32) * scale, np.sin(wide).astype(np.float32) * scale


def _default(
    powers: Float32, settings: Fields, base: float, max_positions: int | None
) -> tuple[Float32, float]:
    del settings, base, max_positions
    return _ONE / powers, 1.0


def _linear(
    powers: Float32, settings: Fields, base: float, max_positions: int | None
) -> tuple[Float32, float]:
    del base, max_positions
    return _ONE / powers / np.float32(settings.number("factor")), 1.0


def _llama3(
    powers: Float32, settings: Fields, base: float, max_positions: int | None
) -> tuple[Float32, float]:
    del base
    factor = np.float32(settings.number("factor"))
    low = settings.number("low_freq_factor")
    high = settings.number("high_freq_factor", above=low)
    original = _original_context(settings, max_positions)
    plain = _ONE / powers
    wavelength = np.float32(2 * math.pi) / plain
    share = (np.float32(original) / wavelength - np.float32(low)) / np.float32(high - low)
    between = (1 - share) * plain / factor + share * plain
    scaled = np.where(wavelength > original / low, plain / factor, plain)
    medium = (wavelength >= original / high) & (wavelength <= original / low)
    return np.where(medium, between, scaled), 1.0


def _yarn(
    powers: Float32, settings: Fields, base: float, max_positions: int | None
) -> tuple[Float32, float]:
    original = _original_context(settings, max_positions)
    factor = settings.number_or_none("factor") or (max_positions or original) / original
    pairs = len(powers)

    def pair_turning(turns: float) -> float:
        """The (fractional) pair that makes this many turns over the original context."""
        return pairs * math.log(original / (turns * 2 * math.pi)) / math.log(base)

    low = pair_turning(settings.number_or_none("beta_fast") or 32)
    high = pair_turning(settings.number_or_none("beta_slow") or 1)
    if settings.boolean_or_none("truncate") is not False:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * pairs - 1)
    width = high - low or 0.001
    ramp = (np.arange(pairs, dtype=np.float32) - np.float32(low)) / np.float32(width)
    kept = 1 - np.clip(ramp, 0, 1)
    scaled = _ONE / (np.float32(factor) * powers) * (1 - kept) + _ONE / powers * kept
    return scaled, _attention_factor(settings, factor)


def _original_context(settings: Fields, max_positions: int | None) -> int:
    """Positions that the model was trained on before its context was stretched."""
    original = settings.integer_or_none("original_max_position_embeddings") or max_positions
    return original or settings.integer("original_max_position_embeddings", low=1)


def _attention_factor(settings: Fields, factor: float) -> float:
    given = settings.number_or_none("attention_factor")
    if given is not None:
        return given

    def growth(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    above = settings.number_or_none("mscale")
    below = settings.number_or_none("mscale_all_dim")
    return growth(above) / growth(below) if above and below else growth(1)


_Scaling = Callable[[Float32, Fields, float, int | None], tuple[Float32, float]]
_SCALINGS: Mapping[str, _Scaling] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}
