"""How well the columns of a catalog match: similarity, retrieval on held-out items, and items whose media disagree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.aligner import Aligner, Vectors, own_columns
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.errors import DataError, OptionError
from fuserec.retrieval import block_rows

Pair = tuple[str, str]
KS = (1, 5, 10)
QUANTILES = (5, 25, 50, 75, 95)  # percent
LEAST_ITEMS = 10  # that two columns must have in common to be compared
MISMATCHES = 50  # other items' vectors that an item's own are compared with, at most
PRINCIPAL = (
    256  # components that are kept of a column, so that an eigenproblem for each pair and fold takes little time
)


def cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Two arrays (..., dim) → the cosine of the angle between their vectors (...,), in [-1, 1]; 0 beside a zero vector.

    cos([1, 2, 3], [4, 5, 6]) = 32 / sqrt(14 x 77) = 0.9746
    """
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    product = (np.asarray(a) * b).sum(axis=-1)
    return np.where(length > 0, product / np.where(length > 0, length, 1.0), 0.0)


def euclidean(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Two arrays (..., dim) → the distance between their vectors (...,); of unit vectors sqrt(2 - 2 cosine)."""
    distance: NDArray[Any] = np.linalg.norm(np.asarray(a) - b, axis=-1)
    return distance


@dataclass(frozen=True, eq=False)
class Matching:
    """How well the columns of a catalog match.

    agreement: float64 (n_items,) in [0, 1], how well an item's own columns agree (see `match`); NaN: nothing to compare
    by_pair: two columns → the same for these two alone, float64 (n_items,)
    pairs: what `to_dict` shows of each two columns
    """

    ids: Ids
    agreement: NDArray[np.float64]
    by_pair: Mapping[Pair, NDArray[np.float64]]
    pairs: tuple[dict[str, Any], ...]

    def least(self, row: int) -> tuple[Pair, float]:
        """An item that has an agreement → the two of its columns that agree least, and how well they do."""
        known = {pair: float(found[row]) for pair, found in self.by_pair.items() if not isnan(found[row])}
        worst = min(known, key=known.__getitem__)
        return worst, known[worst]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: {"items": [{"item_id", "agreement"}, ...], "pairs": [{"columns", "recall@1", ...}, ...]}.

        Items come in the order of their agreement, the lowest first, those with null last.
        """
        order = np.argsort(self.agreement, kind="stable")  # NaN comes last
        items = [
            {"item_id": self.ids[row], "agreement": None if isnan(value) else round(value, 6)}
            for row, value in zip(order, self.agreement[order].tolist(), strict=True)
        ]
        return {"items": items, "pairs": list(self.pairs)}


def match(
    dataset: Dataset,
    *,
    holdout: float = 0.2,
    seed: int = 0,
    aligner: Aligner | None = None,
    columns: Sequence[str] | None = None,
) -> Matching:
    """Dataset with vectors → how well each two of its columns match, and how well each item's own columns agree.

    Items are dealt into 1 / holdout folds; each is measured in a shared space that was learned without it, from the
    other folds, since a space learned with an item brings its vectors together even where they do not belong together.
    aligner: fitted on all columns at once, as often as there are folds (default: `GCCA`, and on each two columns by
    themselves, which measures best what these two tell of each other).

    The agreement of two columns of an item is the share of true pairs among true and mismatched ones of that cosine,
    were there as many of the ones as of the others: isotonic regression (Zadrozny and Elkan 2002) over the catalog.
    0.5 says that the columns tell nothing of each other. An item's agreement is the mean over its pairs of columns.
    Retrieval: an item of the first fold asks with one column for itself among all that are in it and have both.

    Filled vectors, and pairs of columns that fewer than 10 items have, are left out; raises `DataError` when no pair is
    left.
    """
    if not 0 < holdout <= 0.5:
        raise OptionError(f"match: holdout is {holdout}; expected a share above 0 and up to 0.5")
    chosen = own_columns(dataset, columns)
    common = {(a, b): chosen[a].own & chosen[b].own for a, b in combinations(chosen, 2)}
    common = {pair: both for pair, both in common.items() if both.sum() >= LEAST_ITEMS}
    if not common:
        raise DataError(
            f"match compares columns that at least {LEAST_ITEMS} items have in common; found no two such columns "
            f"among {', '.join(chosen) or 'no vectors at all'}; encode more columns or items"
        )
    folds = np.random.default_rng(seed).permutation(dataset.n_items) % round(1 / holdout)
    similarities = {pair: _Similarities(both) for pair, both in common.items()}
    if aligner is None:
        chosen = {name: _principal(embeddings) for name, embeddings in chosen.items()}
    for fold in range(folds.max() + 1):
        spaces = _spaces(chosen, common, aligner, folds != fold)
        for (a, b), both in common.items():
            rows = np.flatnonzero(both & (folds == fold))
            of_a, of_b = (spaces[a, b].project(name, chosen[name].vectors[rows]) for name in (a, b))
            similarities[a, b].add(rows, of_a, of_b)
    by_pair = {pair: found.agreement() for pair, found in similarities.items()}
    known = ~np.isnan(list(by_pair.values()))  # (n_pairs, n_items)
    total = np.nansum(list(by_pair.values()), axis=0)
    agreement = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
    pairs = tuple({"columns": list(pair), **found.summary(pair)} for pair, found in similarities.items())
    return Matching(dataset.catalog.ids, agreement, by_pair, pairs)


def _spaces(
    columns: Mapping[str, Embeddings], pairs: Iterable[Pair], aligner: Aligner | None, fit_on: NDArray[np.bool_]
) -> dict[Pair, Aligner]:
    """Columns, pairs, the items to learn from → pair → the fitted aligner to compare these two columns by."""
    from fuserec.alignment.projection import GCCA

    if aligner is not None:
        fitted = replace(aligner).fit(columns, fit_on)
        return dict.fromkeys(pairs, fitted)
    return {(a, b): GCCA().fit({a: columns[a], b: columns[b]}, fit_on) for a, b in pairs}


def _principal(embeddings: Embeddings) -> Embeddings:
    """Embeddings of any width → their first `PRINCIPAL` principal components; narrower ones as they are.

    Each column is looked at by itself, so nothing is learned from which vectors belong together.
    """
    if embeddings.dim <= PRINCIPAL:
        return embeddings
    from scipy.linalg import eigh

    centered = embeddings.centered_unit()
    wanted = (embeddings.dim - PRINCIPAL, embeddings.dim - 1)
    _, directions = eigh(centered.T @ centered, subset_by_index=wanted)
    return replace(embeddings, vectors=centered @ directions)


class _Similarities:
    """What is found about two columns, fold by fold."""

    def __init__(self, both: NDArray[np.bool_]) -> None:
        self.own = np.full(len(both), np.nan)  # cosine of an item's two vectors
        self.distances = np.full(len(both), np.nan)
        self.mismatched: list[NDArray[np.float64]] = []  # cosines of vectors of two items
        self.mismatched_distances: list[NDArray[np.float64]] = []
        self.ranks: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def add(self, rows: NDArray[np.int64], of_a: Vectors, of_b: Vectors) -> None:
        """A fold's rows (n,), and the vectors of these items in both columns, float32 (n, dim) of unit length."""
        self.own[rows], self.distances[rows] = cosine(of_a, of_b), euclidean(of_a, of_b)
        for shift in range(1, min(len(rows), MISMATCHES + 1)):
            others = np.roll(of_b, shift, axis=0)
            self.mismatched.append(cosine(of_a, others))
            self.mismatched_distances.append(euclidean(of_a, others))
        if self.ranks is None:
            self.ranks = ranks(of_a, of_b), ranks(of_b, of_a)

    def agreement(self) -> NDArray[np.float64]:
        """The share of true pairs among pairs of an item's cosine, (n_items,); NaN where it lacks a column."""
        from sklearn.isotonic import IsotonicRegression

        measured = ~np.isnan(self.own)
        true, false = self.own[measured], np.concatenate([*self.mismatched, []])
        share = np.full(len(self.own), np.nan)
        share[measured] = (
            IsotonicRegression()
            .fit(
                np.concatenate([true, false]),
                np.repeat([1.0, 0.0], [len(true), len(false)]),
                np.repeat([1 / len(true), 1 / max(len(false), 1)], [len(true), len(false)]),
            )
            .predict(true)
        )
        return share

    def summary(self, pair: Pair) -> dict[str, Any]:
        """The two columns' names → recall, ranks and distributions, ready for JSON."""
        assert self.ranks is not None  # every pair of columns has been through every fold
        directions = [_retrieval(found) for found in self.ranks]
        n = len(self.ranks[0])
        mean = {key: _mean([direction[key] for direction in directions]) for key in directions[0]}
        return {
            **mean,
            "n": n,
            **{f"chance@{k}": min(k / n, 1.0) if n else None for k in KS},
            "directions": [
                {"from": source, "to": target, **found}
                for (source, target), found in zip((pair, pair[::-1]), directions, strict=True)
            ],
            "cosine": _distribution(self.own, self.mismatched),
            "euclidean": _distribution(self.distances, self.mismatched_distances),
        }


def ranks(queries: Vectors, candidates: Vectors) -> NDArray[np.float64]:
    """Unit vectors float32 (n, dim) each → at which place, from 1, query i finds candidate i: float64 (n,).

    Candidates of equal cosine share the mean of their places.
    """
    found = np.empty(len(queries))
    size = block_rows(len(queries))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        scores = queries[block] @ candidates.T  # (b, n)
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))][:, None]
        found[block] = 0.5 + (scores > own).sum(axis=1) + 0.5 * (scores == own).sum(axis=1)
    return found


def _retrieval(places: NDArray[np.float64]) -> dict[str, float | None]:
    recall = {f"recall@{k}": float((places <= k).mean()) if len(places) else None for k in KS}
    return {**recall, "median_rank": float(np.median(places)) if len(places) else None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _distribution(own: NDArray[np.float64], mismatched: Sequence[NDArray[np.float64]]) -> dict[str, float | None]:
    """Of an item's own two vectors over the catalog: mean and quantiles; of vectors of two items: the mean."""
    true, false = own[~np.isnan(own)], np.concatenate([*mismatched, []])
    return {
        "mean": float(true.mean()),
        **{
            f"{percent}%": float(value)
            for percent, value in zip(QUANTILES, np.percentile(true, QUANTILES), strict=True)
        },
        "mismatched_mean": float(false.mean()) if len(false) else None,
    }
