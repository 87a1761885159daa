"""On a GPU or TPU: the whole spectral stage against the host's, in every precision it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import pytest

import spectra
from spectra.backend import Precision, precision_advice, select_backend
from spectra.backend.precision import BARS, mode_on
from tests import reference_cases as cases

pytestmark = pytest.mark.skipif(jax.default_backend() == "cpu", reason="no accelerator is here")

PRECISIONS: list[Precision] = ["auto", "fast"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("make", [cases.sloping, cases.large_mean, cases.steep])
def test_it_gives_the_hosts_numbers(
    make: cases.Maker, precision: Precision, tmp_path: Path
) -> None:
    src = cases.long_case(make, 3000, 300).write(tmp_path / "m")
    here = spectra.RunConfig(precision=precision, counts=(64, 512), repeats=2, num_bins=3)
    cpu = replace(here, backend="cpu", precision="exact")
    (host,) = spectra.run(src, tmp_path / "host", cpu)
    (run,) = spectra.run(src, tmp_path / "here", here)
    assert run.accuracy.mode == mode_on(jax.default_backend(), precision)
    bar = BARS[run.accuracy.mode]
    for key, records in host.records.items():
        for group, record in records.items():
            found = run.records[key][group]
            assert found.status == record.status
            for name in ("rankme", "rankme_sigma", "alpha_req"):
                assert getattr(found, name) == pytest.approx(getattr(record, name), rel=bar)


def test_it_tells_its_memory_and_how_it_multiplies() -> None:
    made = select_backend()
    assert (made.moment_room(4096) or 0) > 8 * 4096**2
    assert len(precision_advice(made, "auto")) <= 1
