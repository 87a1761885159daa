"""From the labels in an index to the macro categories that are reported.

The dataset's own taxonomy is not public, so the map is the user's: a TOML file, or one of the
presets of public taxonomies that lie in this package as TOML files of the same form.
"""

from __future__ import annotations

from spectra.categories._map import IDENTITY as IDENTITY
from spectra.categories._map import UNLABELLED as UNLABELLED
from spectra.categories._map import CategoryMap as CategoryMap
from spectra.categories._read import PRESETS as PRESETS
from spectra.categories._read import load_map as load_map
