"""Ranking metrics: one value a user. `hits` bool (n_users, k) marks which ranks hold a relevant item, best rank first;
`n_relevant` int (n_users,), at least 1, says how many relevant items there are. Ranks left empty count as misses.
"""  # noqa: D205

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]  # (n_users, k)
Counts = NDArray[np.int64]  # (n_users,)
PerUser = NDArray[np.float64]  # (n_users,)


def recall(hits: Hits, n_relevant: Counts) -> PerUser:
    """The share of the relevant items that is among the k (Manning 2008, eq. 8.2)."""
    return np.asarray(np.count_nonzero(hits, axis=1) / n_relevant)


def precision(hits: Hits, n_relevant: Counts) -> PerUser:
    """The share of the k ranks that holds a relevant item (Manning 2008, eq. 8.1)."""
    return np.asarray(np.count_nonzero(hits, axis=1) / hits.shape[1])


def hit_rate(hits: Hits, n_relevant: Counts) -> PerUser:
    """1 where a relevant item is among the k, else 0 (Deshpande and Karypis 2004, eq. 8)."""
    return np.asarray(np.any(hits, axis=1), dtype=np.float64)


def ndcg(hits: Hits, n_relevant: Counts) -> PerUser:
    """Gain 1 discounted by log2(rank + 1), over the best possible (Järvelin and Kekäläinen 2002)."""
    k = hits.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(n_relevant, k) - 1]
    return np.asarray(hits @ discount / ideal)


def mrr(hits: Hits, n_relevant: Counts) -> PerUser:
    """1 / the rank of the first relevant item, 0 where none is among the k (Voorhees 1999)."""
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


def average_precision(hits: Hits, n_relevant: Counts) -> PerUser:
    """Precision at the rank of each hit among the k, summed, over n_relevant (Manning 2008, eq. 8.8)."""
    ranks = np.arange(1, hits.shape[1] + 1)
    return np.asarray((hits * np.cumsum(hits, axis=1) / ranks).sum(axis=1) / n_relevant)


ACCURACY: dict[str, Callable[[Hits, Counts], PerUser]] = {
    "recall": recall,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": mrr,
    "hit_rate": hit_rate,
    "precision": precision,
}


def novelty(ranked: NDArray[np.int64], popularity: NDArray[np.float32], n_users: int) -> PerUser:
    """Mean of -log2 of the share of users who chose an item, over a list, in bits (Zhou 2010, eq. 3).

    ranked: item rows int64 (n, k), -1 where empty; popularity: how many of the n_users chose each item, float32
    (n_items,). An item that nobody chose counts as known to one user. An empty list has novelty 0.
    """
    bits = -np.log2(np.maximum(popularity, 1.0) / n_users)
    filled = ranked >= 0
    return np.asarray((bits[ranked] * filled).sum(axis=1) / np.maximum(filled.sum(axis=1), 1))


def coverage(ranked: NDArray[np.int64], n_items: int) -> float:
    """The share of the catalog that is in at least one list (Ge 2010, eq. 3). ranked: int64 (n, k), -1 where empty."""
    return len(np.unique(ranked[ranked >= 0])) / n_items


def gini(ranked: NDArray[np.int64], n_items: int) -> float:
    """How unequally items are shown: 0 all alike, near 1 few always (Fleder and Hosanagar 2009). ranked: as above."""
    shown = np.sort(np.bincount(ranked[ranked >= 0], minlength=n_items))
    if not shown.sum():
        return 0.0
    weight = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float((weight * shown).sum() / (n_items * shown.sum()))


def popularity_percentile(ranked: NDArray[np.int64], popularity: NDArray[np.float32]) -> PerUser:
    """How popular a list is, 0 to 1: the mean share of the catalog that is chosen less often than its items.

    Half of the items chosen equally often count as less. A list drawn at random has 0.5 (average recommendation
    popularity, Abdollahpouri 2019, in ranks instead of counts). ranked: int64 (n, k), -1 where empty; popularity:
    float32 (n_items,). An empty list has 0.
    """
    ordered = np.sort(popularity)
    below, upto = (np.searchsorted(ordered, popularity, side) for side in ("left", "right"))
    percentile = (below + upto) / (2 * len(popularity))
    filled = ranked >= 0
    return np.asarray((percentile[ranked] * filled).sum(axis=1) / np.maximum(filled.sum(axis=1), 1))


def diversity(ranked: NDArray[np.int64], unit: NDArray[np.float32]) -> PerUser:
    """How unlike each other the items of a list are: mean of 1 - cosine over pairs (Smyth and McClave 2001, eq. 3).

    ranked: int64 (n, k), -1 where empty; unit: vectors float32 (n_items, dim) at unit length, zero rows where an item
    has none: those are left out. A list with fewer than two vectors has 0.
    """
    known = np.append(unit.any(axis=1), False)  # the last row stands for an empty rank
    has = known[ranked]  # (n, k)
    size = max(1, 4_000_000 // (ranked.shape[1] * unit.shape[1]))
    total = np.empty(len(ranked))
    for start in range(0, len(ranked), size):
        block = slice(start, start + size)
        summed = (unit[ranked[block]] * has[block, :, None]).sum(axis=1, dtype=np.float64)  # (b, dim)
        total[block] = (summed**2).sum(axis=1)  # all pairs, and each vector with itself
    m = has.sum(axis=1)
    cosine = (total - m) / np.maximum(m * (m - 1), 1)
    return np.where(m > 1, 1.0 - cosine, 0.0)


# Ratings. ratings, predicted: float (n,), on one scale; liked: bool (n,); chance: float (n,) in [0, 1], that it is
# liked; weights: float (n,), how often each rating counts, default: once.
Floats = NDArray[np.floating]
EDGE = 1e-7  # chances are kept that far from 0 and 1, so that one sure mistake is not infinitely bad


def rmse(ratings: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Root of the mean squared error (Herlocker 2004, section 4.1)."""
    return float(np.sqrt(np.average(squared_error(ratings, predicted), weights=weights)))


def mae(ratings: Floats, predicted: Floats, weights: Floats | None = None) -> float:
    """Mean absolute error (Herlocker 2004, section 4.1)."""
    return float(np.average(absolute_error(ratings, predicted), weights=weights))


def squared_error(ratings: Floats, predicted: Floats) -> PerUser:
    """(rating - prediction)², one a rating."""
    return (np.asarray(ratings, np.float64) - predicted) ** 2


def absolute_error(ratings: Floats, predicted: Floats) -> PerUser:
    """|rating - prediction|, one a rating."""
    return np.abs(np.asarray(ratings, np.float64) - predicted)


def right(liked: NDArray[np.bool_], chance: Floats) -> PerUser:
    """1 where a chance of one half or more meets a like, or a lower one none; its mean is the accuracy."""
    return np.asarray((chance >= 0.5) == liked, np.float64)


def surprise(liked: NDArray[np.bool_], chance: Floats) -> PerUser:
    """-log of the chance given to what came, in nats; its mean is the log loss (Good 1952)."""
    kept = np.clip(np.asarray(chance, np.float64), EDGE, 1.0 - EDGE)
    return -np.log(np.where(liked, kept, 1.0 - kept))


def auc(liked: NDArray[np.bool_], score: Floats, weights: Floats | None = None) -> float:
    """The share of pairs, one liked and one not, in which the liked one has the higher score; ties count half.

    (Hanley and McNeil 1982.) NaN where all are liked or none is.
    """
    weights = np.ones(len(score)) if weights is None else np.asarray(weights, np.float64)
    _, place = np.unique(score, return_inverse=True)
    of_liked, of_other = (np.bincount(place, weights * which) for which in (liked, ~liked))
    total = of_liked.sum() * of_other.sum()
    below = np.cumsum(of_other) - of_other
    return float((of_liked * (below + of_other / 2)).sum() / total) if total else float("nan")


def calibration(liked: NDArray[np.bool_], chance: Floats, bins: int = 10) -> list[tuple[float, float, int]]:
    """Chances in bins of equal width → (mean chance, share liked, how many) of each that is not empty.

    (The reliability diagram of Murphy and Winkler 1977.) A calibrated model has the first two alike.
    """
    place = np.minimum((np.asarray(chance) * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    told, found = np.bincount(place, chance, bins), np.bincount(place, liked, bins)
    return [(float(told[b] / n), float(found[b] / n), int(n)) for b, n in enumerate(counts) if n]
