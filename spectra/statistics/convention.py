"""Every choice behind a published number, as data: the presets reproduce their sources exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from spectra.errors import UnknownConventionError


@dataclass(frozen=True, slots=True)
class Convention:
    """How a group's rows X [n, d] become a spectrum, and a spectrum becomes numbers.

    Attributes:
        name: the preset's name.
        source: paper, equation or code that defines it.
        centered: subtract the group's mean row first.
        row_norm: after centring, scale every row to length 1 (zero rows stay zero); no second
            centring.
        weights: what `rankme`'s p is proportional to: "eigenvalue" (of X'X) or "singular" (of X);
            None where the source defines no effective rank.
        epsilon: added to every p after the division, as the sources do.
        kept: only this many leading values count, before normalising; None keeps all.
        alpha_ranks: first and last rank (1-based, inclusive) of the power-law fit; None if not
            defined.
        count: how many values the spectrum has: "rank" is min(n - 1, d) when centred, else min(n,
            d); "shape" is min(n, d) always, the last one an exact 0 (what a full PCA returns).
    """

    name: str
    source: str
    centered: bool
    row_norm: bool
    weights: Literal["eigenvalue", "singular"] | None
    epsilon: float
    kept: int | None
    alpha_ranks: tuple[int, int] | None
    count: Literal["rank", "shape"] = "rank"

    def asdict(self) -> dict[str, Any]:
        """All choices as plain JSON values, the fit's weighting and the logarithm spelled out."""
        choices = asdict(self)
        choices["alpha_ranks"] = list(self.alpha_ranks) if self.alpha_ranks else None
        choices["alpha_weight"] = "1/rank" if self.alpha_ranks else None
        choices["logarithm"] = "natural"
        return choices


def _presets(*presets: Convention) -> Mapping[str, Convention]:
    return MappingProxyType({preset.name: preset for preset in presets})


_SKEAN = (
    "entropy of the covariance of centred, normalised rows: Skean et al. 2025 (arXiv:2502.02013), "
    "Wei et al. 2024 (arXiv:2401.17139)"
)

PRESETS: Mapping[str, Convention] = _presets(
    Convention(
        "default",
        "Spectra: entropy of the centred covariance's eigenvalues, no constant, no truncation",
        True, False, "eigenvalue", 0.0, None, (11, 100),
    ),
    Convention(
        "roy2007", "Roy and Vetterli 2007, effective rank, definition 1",
        False, False, "singular", 0.0, None, None,
    ),
    Convention(
        "rankme2023", "Garrido et al. 2023 (arXiv:2210.02885), equation 1",
        False, False, "singular", 1e-7, None, None,
    ),
    Convention(
        "fastssl", "Agrawal et al. 2022, alpha-ReQ, code of the NeurIPS paper",
        True, False, None, 0.0, 2048, (4, 100),
    ),
    Convention(
        "reptrix", "reptrix 0.1.0, get_rankme and get_alpha",
        True, False, "eigenvalue", 1e-7, 2048, (11, 100), "shape",
    ),
    Convention(
        "li2025", "Li, Agrawal, Ghosh et al. 2025 (arXiv:2509.23024)",
        True, False, "eigenvalue", 1e-7, 2048, (12, 100), "shape",
    ),
    Convention("skean2025", _SKEAN, True, True, "eigenvalue", 0.0, None, None),
    Convention("differank", _SKEAN, True, True, "eigenvalue", 0.0, None, None),
)  # fmt: skip
"""The named conventions of `--convention` and `spectra.metrics(x, convention=...)`."""


def convention(choice: str | Convention) -> Convention:
    """The preset of this name, or the convention itself.

    Raises:
        UnknownConventionError: no preset has this name; the message lists them.
    """
    if isinstance(choice, Convention):
        return choice
    try:
        return PRESETS[choice]
    except KeyError:
        raise UnknownConventionError(
            f"convention {choice!r} is not known. Expected one of: {', '.join(PRESETS)}."
        ) from None
