"""Effective ranks of spectra that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spectra.statistics import rankme, rankme_sigma


def test_equal_eigenvalues_count_fully_and_zeros_not_at_all() -> None:
    values = np.array([[3.0, 3.0, 3.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(rankme(values), [3.0, 1.0], rtol=1e-14)
    np.testing.assert_allclose(rankme_sigma(values), [3.0, 1.0], rtol=1e-14)
    assert np.isnan(rankme(np.zeros(4)))


def test_two_unequal_eigenvalues() -> None:
    """p = 4/5, 1/5 of eigenvalues 4 and 1, and 2/3, 1/3 of their roots."""
    values = np.array([4.0, 1.0])
    assert float(rankme(values)) == pytest.approx(5 / 4**0.8, rel=1e-14)
    assert float(rankme_sigma(values)) == pytest.approx(3 / 2 ** (2 / 3), rel=1e-14)


def test_epsilon_is_added_after_the_division() -> None:
    p = np.array([0.6, 0.6])
    expected = np.exp(-(p * np.log(p)).sum())
    assert float(rankme(np.array([2.0, 2.0]), epsilon=0.1)) == pytest.approx(expected, rel=1e-14)
