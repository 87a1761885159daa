"""The version, in this one place: the build reads it from here, and so does the package."""

from __future__ import annotations

__version__ = "0.1.0"
