"""Late fusion: the scores that several models give the same items → one score, by ranks or by normalized scores.

Everywhere: `scores` is one float32 (b, n_items) a model, larger is better; -inf marks an item that is no candidate: it
is left out of minima, means and ranks, and gets 0 from that model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fuserec.errors import OptionError

Scores = NDArray[np.float32]
Rows = NDArray[np.integer]


def reciprocal_rank(scores: Sequence[Scores], constant: float = 60.0) -> Scores:
    """Scores of models → the sum of 1 / (constant + rank) over models, rank 1 the best (Cormack 2009).

    Items of equal score share the last of their ranks, so that the many of which a model knows nothing gain little.
    """
    fused = np.zeros_like(scores[0])
    for one in scores:
        ranks = rankdata(-one, method="max", axis=1)
        fused += np.where(np.isneginf(one), 0.0, 1.0 / (constant + ranks)).astype(np.float32)
    return fused


def comb_sum(normalized: Sequence[Scores]) -> Scores:
    """Normalized scores of models → their sum (CombSUM: Fox and Shaw 1994)."""
    return weighted_sum(normalized, [1.0] * len(normalized))


def comb_mnz(normalized: Sequence[Scores]) -> Scores:
    """Scores of models in [0, 1] → their sum times the number of models that give more than 0 (CombMNZ: the same)."""
    count = np.sum([one > 0 for one in normalized], axis=0)
    fused: Scores = comb_sum(normalized) * count.astype(np.float32)
    return fused


def weighted_sum(normalized: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """Normalized scores of models, and a weight for each → the weighted sum."""
    fused = np.zeros_like(normalized[0])
    for one, weight in zip(normalized, weights, strict=True):
        fused += np.float32(weight) * one
    return fused


def min_max(scores: Scores) -> Scores:
    """Scores (b, n_items) → each row in [0, 1], its worst candidate 0 and its best 1; 0 where all are equal."""
    low = np.min(scores, axis=1, keepdims=True, where=scores > -np.inf, initial=np.inf)
    width = np.max(scores, axis=1, keepdims=True, initial=-np.inf) - low
    some = (width > 0) & np.isfinite(low)  # (b, 1): a row with candidates that are not all equal
    scaled = scores - np.where(some, low, 0.0)
    scaled *= np.divide(1.0, width, out=np.ones_like(width), where=some)
    if not some.all():
        scaled[~some[:, 0]] = 0.0
    return np.maximum(scaled, 0.0, out=scaled)  # 0 for what is no candidate, too


def z_score(scores: Scores) -> Scores:
    """Scores (b, n_items) → each row minus its mean, divided by its standard deviation; 0 where all are equal."""
    candidate = np.isfinite(scores)
    n = np.maximum(candidate.sum(axis=1, keepdims=True), 1)
    mean = np.sum(scores, axis=1, keepdims=True, where=candidate, dtype=np.float64) / n
    variance = np.sum((scores - mean) ** 2, axis=1, keepdims=True, where=candidate) / n
    width, scaled = np.sqrt(variance), np.zeros(scores.shape)
    np.divide(scores - mean, width, out=scaled, where=candidate & (width > 0))
    return scaled.astype(np.float32)


def weighted_min_max(
    scores: Sequence[Scores],
    weights: Sequence[float],
    seen: tuple[Rows, Rows],
    cold: Rows | None = None,
    cold_weights: Sequence[float] = (),
) -> Scores:
    """Finite scores of models, a weight for each, and cells (rows, columns) that are no candidates → the weighted sum.

    The same as `weighted_sum` of `min_max`, but for the last bits, in fewer passes. Overwrites the scores; what is no
    candidate gets 0. cold: columns for which `cold_weights` hold.
    """
    fused = scores[0]
    columns = np.zeros(0, np.int64) if cold is None else cold
    of_cold = np.zeros((len(fused), len(columns)), np.float32)
    shift = np.zeros((len(fused), 1), np.float32)
    for one, weight, cold_weight in zip(scores, weights, cold_weights or weights, strict=True):
        one[seen] = np.inf
        low = one.min(axis=1, keepdims=True)
        one[seen] = -np.inf
        width = one.max(axis=1, keepdims=True) - low
        one[seen] = 0.0
        some = (width > 0) & np.isfinite(low)  # (b, 1): a row with candidates that are not all equal
        scale = np.divide(1.0, width, out=np.zeros_like(width), where=some)
        low = np.where(some, low, 0.0)
        of_cold += np.float32(cold_weight) * scale * (one[:, columns] - low)
        scale *= np.float32(weight)
        one *= scale
        shift += scale * low
        if one is not fused:
            fused += one
    fused -= shift
    fused[:, columns] = of_cold
    fused[seen] = 0.0
    return fused


NORMALIZATIONS = {"min-max": min_max, "z-score": z_score}


def check_weights(weights: Sequence[float], n_models: int) -> None:
    """Weights → nothing; raises `OptionError` unless there is one of 0 or more a model, and one above 0."""
    if len(weights) != n_models or any(not weight >= 0.0 for weight in weights) or not sum(weights) > 0.0:
        raise OptionError(
            f"weights are {list(weights)}; expected {n_models} numbers of 0 or more, one a model, and one above 0"
        )
