"""What a graph autoencoder adds to the best rating model, on hold-outs of MovieLens-100K.

    python benchmarks/graph_autoencoder.py ../shared/data/movielens-100k [u1 u2 ...]

Per fold, half of the ratings of half of the users of uK.base are held out, as `fuserec benchmark movielens-ratings`
does; no test part is read. `GraphRatings` alone, and beside `BayesianFactors` in a sum whose weight is fitted on one
half of those users and judged on the other, both ways. Intervals: 95 %, bootstrap over users. CPU seconds.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fuserec import make
from fuserec.metrics import rmse
from fuserec.ratings.movielens import _encoded, _part
from fuserec.ratings.predictor import hold_out_ratings


def stacked(found, ratings, users):
    """Predictions of two models (2, n) → their weighted sum, the weight fitted on the other half of the users."""
    half = users % 2 == 0
    best, chosen = np.empty(len(ratings)), []
    for own in (half, ~half):
        shares = np.linspace(0.0, 0.5, 51)
        errors = [rmse(ratings[~own], (1 - w) * found[0][~own] + w * found[1][~own]) for w in shares]
        chosen.append(shares[int(np.argmin(errors))])
        best[own] = (1 - chosen[-1]) * found[0][own] + chosen[-1] * found[1][own]
    return best, chosen


def saved(ratings, users, one, other, resamples=1_000):
    """How much lower the error of one is than that of the other, over the same draws of users."""
    place = np.unique(users, return_inverse=True)[1]
    n = place.max() + 1
    counts, a, b = (np.bincount(place, v) for v in (np.ones(len(users)), (ratings - one) ** 2, (ratings - other) ** 2))
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), resamples)
    gains = np.sqrt(drawn @ b / (drawn @ counts)) - np.sqrt(drawn @ a / (drawn @ counts))
    low, high = np.quantile(gains, [0.025, 0.975])
    return f"{rmse(ratings, other) - rmse(ratings, one):+.4f} [{low:+.4f}, {high:+.4f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("folds", nargs="*", default=["u1", "u2", "u3", "u4", "u5"])
    told = parser.parse_args()
    everything, sums = _encoded(told.folder), []
    for fold in told.folds:
        part, held = hold_out_ratings(_part(everything, told.folder / f"{fold}.base"), seed=0)
        rows, found = held.interactions, []
        for name in ("BayesianFactors", "GraphRatings"):
            start = time.process_time()
            found.append(make("rater", name).fit(part).predict(rows.users, rows.items))
            seconds = time.process_time() - start
            print(f"{fold} {name:16s} RMSE {rmse(rows.ratings, found[-1]):.4f}  {seconds:.1f} s", flush=True)
        both, shares = stacked(found, rows.ratings, rows.users)
        gain = saved(rows.ratings, rows.users, both, found[0])
        told_as = " and ".join(f"{one:.2f}" for one in shares)
        print(f"{fold} with {told_as} of GraphRatings: {rmse(rows.ratings, both):.4f}, saved {gain}", flush=True)
        sums.append((rows.ratings, rows.users, both, found[0]))
    print(f"all folds, by user: saved {saved(*map(np.concatenate, zip(*sums, strict=True)))}")


if __name__ == "__main__":
    main()
