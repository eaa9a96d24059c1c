"""Rating models on a part of MovieLens-100K's u1.base: what options were chosen by; no test part is read.

    python benchmarks/ratings.py ../shared/data/movielens-100k
    python benchmarks/ratings.py ../shared/data/movielens-100k FactorRatings implicit=true l2=0.2

Half of the ratings of half of the users are held out, as `fuserec benchmark movielens-ratings` does in every fold.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from fuserec import make, metrics
from fuserec.ratings.evaluation import measured
from fuserec.ratings.movielens import _encoded, _part
from fuserec.ratings.predictor import hold_out_ratings

ALL = [
    ("Biases", {}),
    ("NeighborRatings", {}),
    ("ContentRatings", {"by": "genres"}),
    ("FactorRatings", {}),
    ("FactorRatings", {"implicit": True}),
    ("NeuMFRatings", {}),
    ("GraphRatings", {}),
    ("TextLSTM", {}),
    ("TextLSTM", {"biases": "both"}),
    ("RatingEnsemble", {}),
    ("BayesianFactors", {"columns": ()}),
    ("BayesianFactors", {}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", nargs="?")
    parser.add_argument("options", nargs="*", help="KEY=VALUE, values as in JSON")
    given = parser.parse_args()
    pairs = (one.split("=", 1) for one in given.options)
    chosen = [(given.model, {key: json.loads(value) for key, value in pairs})] if given.model else ALL
    part, held = hold_out_ratings(_part(_encoded(given.folder), given.folder / "u1.base"), seed=0)
    rows = held.interactions
    print(f"{len(part.interactions):,} ratings to learn from, {len(rows):,} held out; CPU seconds")
    for name, options in chosen:
        start = time.process_time()
        model = make("rater", name, options).fit(part)
        seconds = time.process_time() - start
        liked, chance = rows.ratings >= model.like_from_, model.like(rows.users, rows.items)
        print(
            f"{name:16s} {json.dumps(options):24s} RMSE {measured(model, held):.4f}  MAE"
            f" {metrics.mae(rows.ratings, model.predict(rows.users, rows.items)):.4f}  accuracy"
            f" {np.mean(metrics.right(liked, chance)):.4f}  AUC {metrics.auc(liked, chance):.4f}  {seconds:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
