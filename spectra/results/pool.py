"""One layer and pool of a run: its four documents, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spectra.errors import UsageError
from spectra.grouping import Group
from spectra.outputs import FILES, pool_rows
from spectra.outputs.walk import Entry, basic_entries, curves, depth_entries, matched_entries
from spectra.printable import printable
from spectra.record import Record
from spectra.results.records import records_html, records_text


@dataclass(frozen=True, slots=True, repr=False)
class PoolMetrics:
    """The metrics of one layer and step pooling of a model.

    Attributes:
        documents: the four metric files by name, as they were written.
        records: by group, the record of basic_metrics.json and depth_profile.json.
    """

    documents: Mapping[str, Entry]
    records: Mapping[Group, Record] = field(init=False)

    def __post_init__(self) -> None:
        found = {
            group: Record(**entry)
            for entries in (basic_entries(self.basic), depth_entries(self.depth))
            for group, entry in entries
        }
        object.__setattr__(self, "records", found)
        # Documents that tell of different groups fail here, where their place is known.
        told = [group for group, _ in curves(self.sweep)]
        told += [group for group, _ in basic_entries(self.routes)]
        told += [group for group, _, _ in self.matched()]
        absent = [group for group in told if group not in found]
        if absent:
            raise ValueError(f"{absent[0]!r} has no record")
        for _ in self.rows():
            pass

    @property
    def basic(self) -> Entry:
        """basic_metrics.json."""
        return self.documents[FILES[0]]

    @property
    def depth(self) -> Entry:
        """depth_profile.json."""
        return self.documents[FILES[1]]

    @property
    def sweep(self) -> Entry:
        """token_count_sweep.json."""
        return self.documents[FILES[2]]

    @property
    def routes(self) -> Entry:
        """svd_vs_covariance.json."""
        return self.documents[FILES[3]]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.basic["model"])

    @property
    def layer(self) -> int:
        """The layer's number."""
        return int(self.basic["layer"])

    @property
    def pool(self) -> str:
        """The step pooling: all, mean, first or last."""
        return str(self.basic["pool"])

    @property
    def dim(self) -> int:
        """The width d of the rows."""
        return int(self.basic["dim"])

    @property
    def categories(self) -> tuple[str, ...]:
        """The macro categories, sorted."""
        return tuple(self.basic["categories"])

    def record(
        self, *, segment: str | None = None, category: str | None = None, bin: int | None = None
    ) -> Record:
        """The record of the group with these labels; of all rows where none is given.

        Raises `UsageError` where the run has no such group.
        """
        return self.records[self._group(self.records, segment, category, bin)]

    def curve(
        self, *, segment: str | None = None, category: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Metrics over matched counts: "count", "mean", "sd" and "se" of each point, counts rising.

        Raises `UsageError` where the sweep has no such group.
        """
        found = dict(curves(self.sweep))
        return found[self._group(found, segment, category, None)]

    def spectrum(
        self, route: str, *, segment: str | None = None, category: str | None = None
    ) -> list[float]:
        """The leading spectral values of a group by a route, falling.

        Eigenvalues of the covariance for "cov_centered", singular values for "svd_centered" and
        "svd_uncentered". Raises `UsageError` where the run has no such group or route.
        """
        found = dict(basic_entries(self.routes))
        entry = found[self._group(found, segment, category, None)]
        if route not in entry or not isinstance(entry[route], dict):
            known = ", ".join(name for name, part in entry.items() if isinstance(part, dict))
            raise UsageError(f"There is no route {route!r}. Expected one of {known}.")
        return list(entry[route]["values"])

    def matched(self) -> Iterator[tuple[Group, int, Mapping[str, Any]]]:
        """Each group compared at the count its kind shares, with that count and its metrics."""
        for document in (self.basic, self.depth):
            yield from matched_entries(document)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The lines of the tidy table, under `spectra.outputs.COLUMNS`."""
        return pool_rows(self.documents)

    def _group(
        self,
        known: Mapping[Group, Any],
        segment: str | None,
        category: str | None,
        number: int | None,
    ) -> Group:
        kinds = {
            (False, False, False): "global",
            (True, False, False): "segment",
            (False, True, False): "category",
            (True, True, False): "segment_category",
            (False, False, True): "bin",
            (True, False, True): "segment_bin",
            (False, True, True): "category_bin",
        }
        given = (segment is not None, category is not None, number is not None)
        group = Group(kinds.get(given, "none"), segment, category, number)
        if group not in known:
            raise UsageError(
                f"Layer {self.layer}, pool {self.pool} of {self.model!r} has no group of segment "
                f"{segment!a}, category {category!a}, bin {number}. Expected a segment among "
                f"{', '.join(self.basic['segments'])}; a category among "
                f"{', '.join(map(ascii, self.categories))}; a bin below {self.depth['num_bins']}, "
                "of all rows, one segment or one category."
            )
        return group

    def __repr__(self) -> str:
        rows = self.record().num_rows
        place = f"{self.model}, layer {self.layer}, pool {self.pool}"
        head = printable(f"PoolMetrics: {place}, d = {self.dim}, {rows:,} rows")
        return f"{head}\n{records_text(self.records)}"

    def _repr_html_(self) -> str:
        return records_html(f"{self.model}, layer {self.layer}, pool {self.pool}", self.records)
