"""Packages that only some users need: imported when first used, with the install line if absent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from spectra.errors import UsageError


class MissingExtraError(UsageError):
    """A package of an optional extra is not installed."""


def require(module: str, extra: str) -> Any:
    """The module, imported; raises `MissingExtraError` with the line that installs it.

    Args:
        module: The name to import, such as "tokenizers".
        extra: The extra of this distribution that brings it, such as "extract".
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"The package {error.name} is not installed. Expected it for this input; install it "
            f'with: pip install "spectra-metrics[{extra}]"'
        ) from None
