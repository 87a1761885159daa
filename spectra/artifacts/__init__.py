"""Annotated hidden states on disk: typed objects, a strict reader and an atomic writer.

An artifact is one model's directory: `config.json`, `index.json` and the shards that config.json
lists. `open_artifact` validates all of it except the tensor data and returns frozen objects;
nothing after that door checks again. `write_artifact` writes the same layout. A directory may also
be one of a dataset of the hub: its shards are fetched, and checked, when rows are to be read.
"""

from __future__ import annotations

from spectra.artifacts._find import find_artifacts as find_artifacts
from spectra.artifacts._hub import HubDirectory as HubDirectory
from spectra.artifacts._hub import Place as Place
from spectra.artifacts._hub import is_hub_url as is_hub_url
from spectra.artifacts._open import Artifact as Artifact
from spectra.artifacts._open import described_artifact as described_artifact
from spectra.artifacts._open import open_artifact as open_artifact
from spectra.artifacts._verify import LayerCheck as LayerCheck
from spectra.artifacts._verify import NonFinite as NonFinite
from spectra.artifacts._verify import VerifyReport as VerifyReport
from spectra.artifacts._verify import verify_artifact as verify_artifact
from spectra.artifacts.digest import FileDigest as FileDigest
from spectra.artifacts.digest import digest_file as digest_file
from spectra.artifacts.header import ShardHeader as ShardHeader
from spectra.artifacts.layout import Config as Config
from spectra.artifacts.layout import Index as Index
from spectra.artifacts.layout import Layer as Layer
from spectra.artifacts.layout import Sample as Sample
from spectra.artifacts.layout import Shard as Shard
from spectra.artifacts.layout import Step as Step
from spectra.artifacts.manifest import MANIFEST_NAME as MANIFEST_NAME
from spectra.artifacts.rows import RowReader as RowReader
from spectra.artifacts.write import write_artifact as write_artifact
