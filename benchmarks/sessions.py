"""What a session costs in accuracy with models of trained users: MovieLens-100K, leave-last-out, validation part.

    python benchmarks/sessions.py ../shared/data/movielens-100k

Each user is ranked for twice: by the vector that was trained for him, and by the one that `fold_in` makes of his
history, as for a session of somebody unknown. ndcg@20, three seeds averaged per user, 95 % paired bootstrap.
"""

import argparse
from pathlib import Path

import numpy as np

from fuserec import clean, make, read_movielens, split_last
from fuserec.intervals import differences
from fuserec.recommenders.training import HeldOut

MODELS = {"BPR": {}, "SoftmaxFactors": {}, "LightGCN": {"content": 0.0}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parts = split_last(clean(read_movielens(parser.parse_args().folder)))
    held = HeldOut.of(parts.train.seen, parts.validation.seen, 0)
    for name, options in MODELS.items():
        trained, folded = [], []
        for seed in range(3):
            model = make("recommender", name, {**options, "seed": seed}).fit(parts.train, parts.validation)
            trained.append(held.ndcg(model.score(held.users)))
            model.fold_in(np.arange(len(model.users_)), 0)
            folded.append(held.ndcg(model.score(held.users)))
        own, of_session = np.mean(trained, axis=0), np.mean(folded, axis=0)
        (lost,) = differences([own - of_session], 0)
        print(
            f"{name:16s} n = {len(own)}  trained {own.mean():.4f}  folded in {of_session.mean():.4f}"
            f"  lost {lost.mean:+.4f} [{lost.low:+.4f}, {lost.high:+.4f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
