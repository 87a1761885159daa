"""The layers of a run side by side: layer_profile.json, and what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spectra.display import SHOWN, html_table, text_table, with_error
from spectra.errors import UsageError
from spectra.grouping import Group
from spectra.outputs.layers import FIELDS, KINDS
from spectra.outputs.walk import Entry, profile_entries
from spectra.printable import printable
from spectra.record import Record

_HEADINGS = ("layer", "depth", "rows", *SHOWN, "status")


@dataclass(frozen=True, slots=True)
class LayerPoint:
    """A group in one layer.

    Attributes:
        layer: the layer's number: 0 for the embeddings, k after block k.
        relative_depth: that over the model's number of blocks; None where it is not known.
        final_norm: whether the model's final norm was applied; None where it is not known.
        record: the group's metrics; without diagnostics, which `PoolMetrics` has.
    """

    layer: int
    relative_depth: float | None
    final_norm: bool | None
    record: Record


@dataclass(frozen=True, slots=True, repr=False)
class LayerProfile:
    """Each group's metrics in every layer of a run.

    Attributes:
        document: layer_profile.json as it was written.
    """

    document: Entry

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, rising."""
        return tuple(one["layer"] for one in self.document["layers"])

    @property
    def pools(self) -> tuple[str, ...]:
        """The step poolings."""
        return tuple(self.document["pools"])

    @property
    def num_hidden_layers(self) -> int | None:
        """How many blocks the model has; None where that is not known."""
        blocks: int | None = self.document["num_hidden_layers"]
        return blocks

    def points(
        self, pool: str = "all", *, segment: str | None = None, category: str | None = None
    ) -> tuple[LayerPoint, ...]:
        """A group in each layer, layers rising: all rows, a segment or a category.

        Raises `UsageError` where the run has no such pool or group.
        """
        if pool not in self.pools:
            raise UsageError(f"There is no pool {pool!r}. Expected one of {', '.join(self.pools)}.")
        found = dict(self.groups(pool))
        kind = "global" if category is None else "category"
        group = Group(kind if segment is None else "segment", segment, category)
        if group not in found:
            parts = self.document["pools"][pool]
            known = (
                f"a {kind} among {', '.join(map(ascii, parts[n]))}" for n, kind in KINDS.items()
            )
            raise UsageError(
                f"There is no group of segment {segment!a}, category {category!a}. Expected "
                f"{' or '.join(known)}, not both."
            )
        return found[group]

    def groups(self, pool: str = "all") -> Iterator[tuple[Group, tuple[LayerPoint, ...]]]:
        """All groups of a pool with their points, in file order."""
        for group, entries in profile_entries(self.document["pools"][pool]):
            yield group, tuple(map(_point, entries))

    def __repr__(self) -> str:
        head = f"LayerProfile: {self.document['model']}, {self._caption()}"
        return f"{printable(head)}\n{text_table([_HEADINGS, *self._cells()])}"

    def _repr_html_(self) -> str:
        return html_table(f"{self.document['model']}, {self._caption()}", _HEADINGS, self._cells())

    def _caption(self) -> str:
        return f"pool {self._first()}, all rows"

    def _first(self) -> str:
        return "all" if "all" in self.pools else self.pools[0]

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for one in self.points(self._first()):
            record, depth = one.record, one.relative_depth
            values = (
                with_error(getattr(record, name), (record.se or {}).get(name), digits)
                for name, digits in SHOWN.items()
            )
            place = (str(one.layer), "–" if depth is None else f"{depth:.2f}")
            yield (*place, f"{record.num_rows:,}", *values, record.status)


def _point(entry: Entry) -> LayerPoint:
    return LayerPoint(
        entry["layer"],
        entry["relative_depth"],
        entry["final_norm"],
        Record(**{name: entry[name] for name in FIELDS}),
    )
