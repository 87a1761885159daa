"""What a researcher writes: a loop over pools and groups, each decomposed from its own rows.

`python -m bench.baseline DIRECTORY` reads an artifact whole and computes the groups of all four
metric files, in float32 by NumPy or torch. One function does a group: its rows are gathered and
centred, and take an `eigvalsh` of the covariance and an SVD each of the centred and the raw rows.
With `--thrifty`, groups that the files show no routes of (depth bins, and the subsamples of the
sweep) take one decomposition, the cheaper one. Nothing is shared between groups.

It is a peer for `bench.end_to_end`, and with `--precision float64` the truth for both. Beside the
reading of files nothing of Spectra is used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import ml_dtypes  # noqa: F401  teaches NumPy bfloat16
import numpy as np
import typer
from numpy.typing import NDArray
from safetensors.numpy import load_file

POOLS = ("all", "mean", "first", "last")
SEGMENTS = ("thought", "solution")
BINS = 10
REPEATS = 5
ALPHA_RANKS = (11, 100)

Array = Any
"""NumPy's or torch's."""

Values = dict[str, float | None]
Decompose = Callable[[NDArray[Any]], Values]


class Library(StrEnum):
    """What decomposes."""

    numpy = "numpy"
    torch = "torch"
    reptrix = "reptrix"


# --- decompositions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Algebra:
    """The three calls that a library must offer; arrays stay on its device."""

    take: Callable[[NDArray[Any]], Array]
    eigvalsh: Callable[[Array], NDArray[Any]]
    svdvals: Callable[[Array], NDArray[Any]]


def numpy_algebra() -> Algebra:
    """NumPy's."""
    return Algebra(
        take=lambda x: x,
        eigvalsh=np.linalg.eigvalsh,
        svdvals=lambda x: np.linalg.svd(x, compute_uv=False),
    )


def torch_algebra(device: str) -> Algebra:
    """torch's on the device "cpu" or "cuda"."""
    torch: Any = import_module("torch")
    return Algebra(
        take=lambda x: torch.from_numpy(np.ascontiguousarray(x)).to(device),
        eigvalsh=lambda matrix: torch.linalg.eigvalsh(matrix).cpu().numpy(),
        svdvals=lambda x: torch.linalg.svdvals(x).cpu().numpy(),
    )


def effective_rank(values: NDArray[Any]) -> float:
    """exp of the entropy of the values' shares."""
    p = np.maximum(values.astype(np.float64), 0.0)
    p = p[p > 0] / p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def alpha(eigenvalues: NDArray[Any]) -> float | None:
    """The slope of ln eigenvalue over ln rank, weighted by 1 / rank."""
    first, last = ALPHA_RANKS
    k = np.arange(first, last + 1)
    if len(eigenvalues) < last or eigenvalues[last - 1] <= 0:
        return None
    fitted = np.log(eigenvalues[first - 1 : last].astype(np.float64))
    return float(-np.polyfit(np.log(k), fitted, 1, w=np.sqrt(1 / k))[0])


def three_routes(algebra: Algebra, x: NDArray[Any]) -> Values:
    """RankMe, alpha and the effective ranks of rows [n, d] by three decompositions."""
    rows = algebra.take(x)
    centred = rows - rows.mean(0)
    exist = min(len(x) - 1, x.shape[1])
    eigenvalues = algebra.eigvalsh(centred.T @ centred / (len(x) - 1))[::-1][:exist]
    return {
        "rankme": effective_rank(eigenvalues),
        "alpha_req": alpha(eigenvalues),
        "cov_centered": effective_rank(eigenvalues),
        "svd_centered": effective_rank(algebra.svdvals(centred)[:exist]),
        "svd_uncentered": effective_rank(algebra.svdvals(rows)),
    }


def one_route(algebra: Algebra, x: NDArray[Any]) -> Values:
    """RankMe and alpha by the cheaper decomposition."""
    rows = algebra.take(x)
    centred, n = rows - rows.mean(0), len(x)
    if n > x.shape[1]:
        eigenvalues = algebra.eigvalsh(centred.T @ centred / (n - 1))[::-1]
    else:
        eigenvalues = algebra.svdvals(centred)[: n - 1] ** 2 / (n - 1)
    return {"rankme": effective_rank(eigenvalues), "alpha_req": alpha(eigenvalues)}


def by_reptrix(x: NDArray[Any]) -> Values:
    """What reptrix offers: its RankMe (with an epsilon) and its alpha, a PCA each."""
    torch, rankme, power = map(import_module, ("torch", "reptrix.rankme", "reptrix.alpha"))
    rows = torch.from_numpy(np.ascontiguousarray(x))
    fitted = len(x) > ALPHA_RANKS[1]
    return {
        "rankme": float(rankme.get_rankme(rows)),
        "alpha_req": float(power.get_alpha(rows)[0]) if fitted else None,
    }


# --- rows and groups ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool's rows [n, d] and the labels of each [n]."""

    name: str
    x: NDArray[Any]
    segment: NDArray[Any]
    category: NDArray[Any]
    bin: NDArray[np.int64]

    def groups(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Key and row mask of each group: pool/kind/segment/category/bin."""
        categories = sorted(set(self.category.tolist()))
        everything = np.ones(len(self.x), bool)

        def key(kind: str, *labels: Any) -> str:
            return "/".join([self.name, kind, *("" if x is None else str(x) for x in labels)])

        yield key("global", None, None, None), everything
        for s in SEGMENTS:
            yield key("segment", s, None, None), self.segment == s
        for c in categories:
            yield key("category", None, c, None), self.category == c
        for s in SEGMENTS:
            for c in categories:
                yield (
                    key("segment_category", s, c, None),
                    (self.segment == s) & (self.category == c),
                )
        for b in range(BINS):
            here = self.bin == b
            yield key("bin", None, None, b), here
            for s in SEGMENTS:
                yield key("segment_bin", s, None, b), here & (self.segment == s)
            for c in categories:
                yield key("category_bin", None, c, b), here & (self.category == c)


def load(directory: Path, dtype: str) -> tuple[NDArray[Any], list[dict[str, Any]]]:
    """The primary layer's states [tokens, d] and the index's samples."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    index = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    shards = sorted(config["shards"], key=lambda shard: shard["token_start"])
    states = [load_file(directory / shard["file"])["hidden_states"] for shard in shards]
    return np.concatenate([part.astype(dtype) for part in states]), index["samples"]


def pooled(states: NDArray[Any], samples: list[dict[str, Any]], name: str) -> Pool:
    """The rows that a pool gives."""
    rows, labels = [], []
    for sample in samples:
        steps = sample["steps"]
        for number, step in enumerate(steps):
            tokens = states[step["global_start"] : step["global_end"]]
            if len(tokens) == 0:
                continue
            mean = tokens.mean(axis=0, dtype=np.float64)[None].astype(states.dtype)
            taken = {"all": tokens, "mean": mean, "first": tokens[:1], "last": tokens[-1:]}[name]
            where = (2 * number + 1) * BINS // (2 * len(steps))
            rows.append(taken)
            labels += [(step["segment"], step["category"] or "unlabelled", where)] * len(taken)
    segment, category, place = zip(*labels, strict=True)
    return Pool(name, np.concatenate(rows), np.array(segment), np.array(category), np.array(place))


# --- the job --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Job:
    """What was computed, and where the time went."""

    values: dict[str, Values]
    seconds: dict[str, float]

    def add(self, stage: str, key: str | None, x: NDArray[Any], decompose: Decompose) -> None:
        """The values of rows x, timed; kept under the key, if any."""
        begin = time.perf_counter()
        values = decompose(x)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin
        if key is not None:
            self.values[key] = values


def basic(key: str) -> bool:
    """Whether a group is in basic_metrics.json and svd_vs_covariance.json."""
    return "bin" not in key.split("/")[1]


def whole_job(directory: Path, three: Decompose, one: Decompose) -> Job:
    """All pools: `three` for the basic groups, `one` for depth bins and subsamples."""
    job = Job({}, {})
    begin = time.perf_counter()
    states, samples = load(directory, "float32")
    job.seconds["read"] = time.perf_counter() - begin
    rng = np.random.default_rng(0)
    for name in POOLS:
        pool = pooled(states, samples, name)
        for key, mask in pool.groups():
            if mask.sum() < 2:
                continue
            x = pool.x[mask]
            if basic(key):
                job.add("groups", key, x, three)
            else:
                job.add("depth", key, x, one)
            if key.split("/")[1] in {"global", "segment", "category"}:
                for sampled in subsamples(x, rng):
                    job.add("sweep", None, sampled, one)
    return job


def subsamples(x: NDArray[Any], rng: np.random.Generator) -> Iterator[NDArray[Any]]:
    """The rows of a group at 32, 64, ..., 4096 of them, five times each."""
    count = 32
    while count <= min(len(x), 4096):
        for _ in range(REPEATS):
            yield x[rng.choice(len(x), count, replace=False)]
        count *= 2


def truth(directory: Path, keys: set[str]) -> dict[str, Values]:
    """The chosen groups by float64 SVDs of their rows."""
    states, samples = load(directory, "float64")
    found: dict[str, Values] = {}
    for name in POOLS:
        pool = pooled(states, samples, name)
        for key, mask in pool.groups():
            if key in keys:
                found[key] = _true_values(pool.x[mask])
    return found


def _true_values(x: NDArray[np.float64]) -> Values:
    exist = min(len(x) - 1, x.shape[1])
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[:exist]
    return {
        "rankme": effective_rank(sigma**2),
        "alpha_req": alpha(sigma**2),
        "cov_centered": effective_rank(sigma**2),
        "svd_centered": effective_rank(sigma),
        "svd_uncentered": effective_rank(np.linalg.svd(x, compute_uv=False)),
    }


def main(
    directory: Annotated[Path, typer.Argument(help="An artifact.")],
    out: Annotated[Path, typer.Option(help="JSON with values and seconds goes here.")],
    library: Annotated[Library, typer.Option(help="What decomposes.")] = Library.numpy,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="torch's.")] = "cpu",
    thrifty: Annotated[
        bool, typer.Option("--thrifty", help="One decomposition where the files need no routes.")
    ] = False,
    truth_of: Annotated[
        Path | None,
        typer.Option(help="JSON list of group keys: only these, by float64 SVDs of NumPy."),
    ] = None,
) -> None:
    """Compute the metrics of an artifact the plain way."""
    result: Mapping[str, Any]
    if truth_of is not None:
        keys = json.loads(truth_of.read_text(encoding="utf-8"))
        result = {"values": truth(directory, set(keys))}
    else:
        three = one = by_reptrix
        if library is not Library.reptrix:
            algebra = numpy_algebra() if library is Library.numpy else torch_algebra(device)
            three = one = partial(three_routes, algebra)
            if thrifty:
                one = partial(one_route, algebra)
        job = whole_job(directory, three, one)
        result = {"values": job.values, "seconds": job.seconds}
    out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
