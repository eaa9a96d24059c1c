"""How sure a number is: means over users with bootstrap intervals, paired differences, Holm's correction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 1_000
N_RESAMPLES_PAIRED = 10_000  # of differences: Holm's correction multiplies small p-values, so they must be finer
FEW_USERS, FEW_COLD = 30, 10  # with fewer, models cannot be told apart, and cold items not measured
SURE = 0.05  # two models are told apart where the corrected p-value is below
# Normal quantiles of a two-sided test at 5 %, and of finding a difference that is there in 80 % of cases (Cohen 1988).
Z_TEST, Z_POWER = 1.96, 0.84


class Estimate(NamedTuple):
    """A mean over n users and its 95 % interval; low and high are None where there is no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        text = f"{self.mean:.4f}"
        return text if self.low is None or self.high is None else f"{text} [{self.low:.4f}, {self.high:.4f}]"


class Difference(NamedTuple):
    """How much more one thing is worth than another, user by user.

    mean, low, high: mean of the paired differences and its 95 % percentile bootstrap interval; NaN without users
    n: users
    p: two-sided p-value of the bootstrap (Efron and Tibshirani 1993, chapter 16), corrected where `holm` was asked
    smallest: the smallest difference that 80 % of such experiments would have seen: (1.96 + 0.84) * standard error
    """

    mean: float
    low: float
    high: float
    n: int
    p: float
    smallest: float

    @property
    def sure(self) -> bool:
        """Whether the difference is told apart from none."""
        return self.p < SURE

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `not told apart`."""
        return "not told apart" if not self.sure else "better" if self.mean > 0 else "worse"

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def estimates(values: Mapping[str, Mapping[str, NDArray[np.float64]]], seed: int) -> dict[str, dict[str, Estimate]]:
    """Label → metric → values (n,) → label → metric → estimate; the same users are drawn for every label and metric."""
    keys = [(label, metric) for label, metrics in values.items() for metric in metrics]
    found: dict[str, dict[str, Estimate]] = {label: {} for label in values}
    if not keys:
        return found
    matrix = np.stack([values[label][metric] for label, metric in keys], axis=1)  # (n, m)
    n = len(matrix)
    if n == 0:
        return found
    low, high = np.quantile(resampled_means(matrix, seed), [0.025, 0.975], axis=0)  # (m,) each
    for column, (label, metric) in enumerate(keys):
        found[label][metric] = Estimate(float(matrix[:, column].mean()), float(low[column]), float(high[column]), n)
    return found


def differences(gained: Sequence[NDArray[np.float64]], seed: int) -> list[Difference]:
    """Paired differences, one array (n,) a comparison, of the same users → their differences; p is not corrected."""
    if not gained:
        return []
    matrix = np.stack(gained, axis=1)  # (n, m)
    n, m = matrix.shape
    if n == 0:
        nothing = Difference(np.nan, np.nan, np.nan, 0, 1.0, np.nan)
        return [nothing] * m
    means = resampled_means(matrix, seed, N_RESAMPLES_PAIRED)  # (r, m)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    # Sums of floats around an exact zero are not exactly zero: what is that small is a tie, and counts for both sides.
    tie = 1e-12
    tail = np.minimum((means <= tie).sum(axis=0), (means >= -tie).sum(axis=0))
    p = np.minimum(1.0, 2 * (1 + tail) / (1 + len(means)))
    smallest = (Z_TEST + Z_POWER) * matrix.std(axis=0, ddof=1 if n > 1 else 0) / np.sqrt(n)
    mean = matrix.mean(axis=0)
    return [
        Difference(float(mean[j]), float(low[j]), float(high[j]), n, float(p[j]), float(smallest[j])) for j in range(m)
    ]


def holm(found: Sequence[Difference]) -> list[Difference]:
    """Differences of one family → the same with p corrected for how many there are (Holm 1979).

    The smallest p is multiplied by m, the next by m - 1, ..., and none is smaller than one before it.
    """
    order = sorted(range(len(found)), key=lambda place: found[place].p)
    corrected, least = list(found), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, found[place].p * (len(found) - rank)))
        corrected[place] = found[place]._replace(p=least)
    return corrected


def resampled_means(matrix: NDArray[np.float64], seed: int, n_resamples: int = N_RESAMPLES) -> NDArray[np.float64]:
    """Values (n, m) → the means of samples of n rows drawn with replacement, float64 (n_resamples, m)."""
    rng = np.random.default_rng(seed)
    n = len(matrix)
    size = max(1, 4_000_000 // n)
    means = []
    for start in range(0, n_resamples, size):
        b = min(size, n_resamples - start)
        drawn = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
        times_drawn = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n)
        means.append(times_drawn @ matrix / n)
    return np.concatenate(means)
