"""Sequential models on MovieLens-100K: what content is worth to SASRec on new, rare and other items.

python benchmarks/sequential.py ../shared/data/movielens-100k                 both splits, five seeds, test
python benchmarks/sequential.py ../shared/data/movielens-100k --validation    the same on the validation part
    --split last|time    one split only; --seeds N; --models A,B of those below; --epochs N

leave-last-out   each user's last film is test, the one before validation. Five films are too few to measure new items by,
                 so a tenth of the films, drawn by the seed, is taken out of train and validation: they are new in test.
global-time      the last tenth of all ratings is test. Films without a rating before it are new.

new: users whose test film nobody chose in training, ranked among such films. rare: the same for films with 1 to 20 users.
others: users with other test films, ranked among all. ndcg@10, averaged per user over seeds; 95 % paired bootstrap.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fuserec import VectorCache, make, read_movielens, split_by_time, split_last
from fuserec.evaluation import rank_and_measure
from fuserec.intervals import differences, estimates
from fuserec.recipe import Recipe

K, RARE, SHARE = 10, 20, 0.1
MODELS = {
    "Popular": ("Popular", {}),
    "ItemNeighbors": ("ItemNeighbors", {}),
    "ContentWalk": ("ContentWalk", {}),
    "SASRec, ids only": ("SASRec", {"content": 0.0}),
    "SASRec": ("SASRec", {}),
    "SASRec, content only": ("SASRec", {"ids": False}),
    "GRU4Rec": ("GRU4Rec", {}),
    "MultiInterest": ("MultiInterest", {}),
}
DEFAULT = ("Popular", "ItemNeighbors", "ContentWalk", "SASRec, ids only", "SASRec")
PLAN = Recipe.parse({"align": "none"})


def without(part, gone):
    return replace(part, interactions=part.interactions.take(~gone[part.interactions.items]))


def splits(dataset, by, seed):
    """The parts of a seed; train without vectors."""
    if by == "time":
        return split_by_time(dataset)
    parts = split_last(dataset)
    gone = np.random.default_rng(seed).random(dataset.n_items) < SHARE
    return parts._replace(train=without(parts.train, gone), validation=without(parts.validation, gone))


def measured(model, held_out):
    """A fitted model → slice → user → ndcg@10."""
    n_users = model.popularity_
    groups = {"new": n_users == 0, "rare": (n_users > 0) & (n_users <= RARE), "others": n_users > RARE}
    found = {}
    every = rank_and_measure(model, held_out, K)
    found["all"] = dict(zip(every.users.tolist(), every.values[f"ndcg@{K}"].tolist(), strict=True))
    for name, items in groups.items():
        if name == "others":
            users = np.flatnonzero(held_out.seen[:, np.flatnonzero(items)].getnnz(axis=1))
            found[name] = {user: found["all"][user] for user in users.tolist() if user in found["all"]}
        else:
            lists = rank_and_measure(model, held_out, K, items)
            found[name] = dict(zip(lists.users.tolist(), lists.values[f"ndcg@{K}"].tolist(), strict=True))
    return found


def averaged(runs, part):
    """Runs of a model → the users of a slice, and the mean of each over the seeds in which he is in it."""
    users = sorted({user for run in runs for user in run[part]})
    return users, np.array([np.mean([run[part][user] for run in runs if user in run[part]]) for user in users])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--validation", action="store_true")
    arguments.add_argument("--split", choices=("last", "time", "both"), default="both")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--models", default=";".join(DEFAULT), help="labels, separated by ;")
    arguments.add_argument("--epochs", type=int)
    told = arguments.parse_args()
    dataset = PLAN.cleaned(read_movielens(told.folder))
    for by in ("last", "time") if told.split == "both" else (told.split,):
        compare(dataset, by, told)


def compare(dataset, by, told):
    runs = {label: [] for label in told.models.split(";")}
    seconds = {label: [] for label in runs}
    with tempfile.TemporaryDirectory() as place:
        for seed in range(told.seeds):
            parts = splits(dataset, by, seed)
            with VectorCache(Path(place) / "vectors.sqlite") as cache:
                parts = parts._replace(train=PLAN.with_vectors(parts.train, cache))
            for label in runs:
                name, options = MODELS[label]
                made = make("recommender", name, options)
                if hasattr(made, "seed"):
                    made.seed = seed
                    made.epochs = told.epochs or made.epochs
                elif seed and by == "time":  # the same as for the seed before
                    runs[label].append(runs[label][0])
                    continue
                started = time.process_time()
                made.fit(parts.train, parts.validation)
                seconds[label].append(time.process_time() - started)
                runs[label].append(measured(made, parts.validation if told.validation else parts.test))
                print(f"{by}, seed {seed}, {label}: {seconds[label][-1]:.0f} s", flush=True)
    slices = ("all", "others", "rare", "new")
    print(f"\n{by}, {'validation' if told.validation else 'test'}, {told.seeds} seeds, ndcg@{K}")
    n = {part: len(averaged(next(iter(runs.values())), part)[0]) for part in slices}
    print("| model | " + " | ".join(f"{part} (n = {n[part]})" for part in slices) + " | fit, CPU s |")
    print("|---" * 6 + "|")
    values = {label: {part: averaged(own, part)[1] for part in slices} for label, own in runs.items()}
    for label in runs:
        cells = []
        for part in slices:
            if n[part]:
                cells.append(str(estimates({label: {part: values[label][part]}}, 0)[label][part]))
            else:
                cells.append("")
        print(f"| {label} | " + " | ".join(cells) + f" | {np.mean(seconds[label]):.1f} |")
    if "SASRec" in runs and "SASRec, ids only" in runs:
        for part in slices:
            if n[part]:
                gained = differences([values["SASRec"][part] - values["SASRec, ids only"][part]], 0)[0]
                print(f"SASRec minus SASRec, ids only, {part}: {gained}, p {gained.p:.3f}, n {gained.n}")


if __name__ == "__main__":
    main()
