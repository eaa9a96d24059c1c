"""Sequential models on MovieLens-100K: what content is worth to SASRec on new, rare and other items.

python benchmarks/sequential.py ../shared/data/movielens-100k                 both splits, five seeds, test
python benchmarks/sequential.py ../shared/data/movielens-100k --validation    the same on the validation part
    --split last|time    one split only; --seeds 0 1; --models "Popular;SASRec", of those below; --workers 2
    --back 9 10          earlier states: each user's last 9 (10) films are gone; averaged per user over all
    --keep FOLDER        what is measured there already is not measured again

leave-last-out   each user's last film is test, the one before validation. Nearly all of these films are
                 known, so a tenth of all, drawn by the seed, is taken out of training: they are new in test.
global-time      the last tenth of all ratings is test. Films without a rating before it are new.

new: users whose test film nobody chose in training, ranked among such. rare: the same for films of 1 to 20 users.
others: users with other test films, ranked among all. ndcg@10, averaged per user over seeds; 95 % paired bootstrap.

Rare films of leave-last-out are few, so content is asked about again on earlier states, each a leave-last-out of its
own. Written down before it was run (25 November 2026):
development   --split last --back 9 10 11 12 --seeds 0, five models: of them SASRec as it is was best on rare films
              (+.0317 [+.0063, +.0582] above ids only; content 2, genres alone and id_dropout .2 less), so it is taken.
confirmation  --split last --back 2 3 4 5 6 7 8 --seeds 0 1 2 --models "Popular;SASRec, ids only;SASRec", once. Its test
              films, third to ninth from the end, were test or validation of no leave-last-out before. (State 8 stops
              training by the tenth, which development tested on, for both models alike. Global-time tested other fits
              on the last tenth of all ratings.) All users have 19 films or more: none is too short. Shown, if SASRec
              minus ids only is above 0 on rare and on new films, and above -.005 on others and on all, with all of its
              interval. Seed 2 is left out, before anything is looked at, if it is not done after 35 minutes.
              It was shown, with all three seeds: docs/benchmarks.md.
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
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
    "SASRec, id_dropout 0.5": ("SASRec", {"id_dropout": 0.5}),
    "SASRec, id_dropout 0.2": ("SASRec", {"id_dropout": 0.2}),
    "SASRec, content 2": ("SASRec", {"content": 2.0}),
    "SASRec, genres": ("SASRec", {"columns": ("genres",)}),
    "SASRec, dropout 0.4": ("SASRec", {"dropout": 0.4}),
    "SASRec, gaps": ("SASRec", {"gaps": True}),
    "SASRec, contrast 0.1": ("SASRec", {"contrast": 0.1}),
    "GRU4Rec": ("GRU4Rec", {}),
    "GRU4Rec, gaps": ("GRU4Rec", {"gaps": True}),
    "GRU4Rec, dropout 0.4": ("GRU4Rec", {"dropout": 0.4}),
    "GRU4Rec, ids only": ("GRU4Rec", {"content": 0.0}),
    "MultiInterest": ("MultiInterest", {}),
    "MultiInterest, routing": ("MultiInterest", {"extraction": "routing"}),
    "MultiInterest, 2 interests": ("MultiInterest", {"interests": 2}),
    "MultiInterest, half_life 30": ("MultiInterest", {"half_life": 30.0}),
    "MultiInterest, dropout 0.4": ("MultiInterest", {"dropout": 0.4}),
}
DEFAULT = ("Popular", "ItemNeighbors", "ContentWalk", "SASRec, ids only", "SASRec")
PLAN = Recipe.parse({"align": "none"})


def without(part, gone):
    return replace(part, interactions=part.interactions.take(~gone[part.interactions.items]))


def earlier(dataset, n):
    """The dataset without each user's last n films, in the order of `split_last`."""
    rows = dataset.interactions
    order = np.lexsort((rows.times, rows.users))
    kept_until = np.cumsum(np.bincount(rows.users, minlength=dataset.n_users)) - n
    kept = order[np.arange(len(rows)) < kept_until[rows.users[order]]]
    return replace(dataset, interactions=rows.take(np.sort(kept)))


def splits(dataset, by, seed):
    """The parts of a seed, train without vectors; what a model may choose by."""
    if by == "time":
        parts = split_by_time(dataset)
        return parts, parts.validation
    parts = split_last(dataset)
    gone = np.random.default_rng(seed).random(dataset.n_items) < SHARE
    return parts._replace(train=without(parts.train, gone)), without(parts.validation, gone)


def shuffled(dataset):
    """The dataset with its films in random order: MovieLens begins with well known ones, and ties break by row."""
    order = np.random.default_rng(0).permutation(dataset.n_items)
    rows = replace(dataset.interactions, items=np.argsort(order)[dataset.interactions.items])
    return replace(dataset, catalog=dataset.catalog.take(order), interactions=rows)


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


def run(by, seed, back, told):
    """One seed of a split of an earlier state → label → slice → user → ndcg@10, and CPU seconds of each fit."""
    state = f"{by}-{back}-back" if back else by
    kept = told.keep and told.keep / f"{state}-{seed}-{'validation' if told.validation else 'test'}.json"
    labels = told.models.split(";")
    found, seconds = json.loads(kept.read_text()) if kept and kept.exists() else ({}, {})
    if all(label in found for label in labels):
        return found, seconds
    dataset = earlier(shuffled(PLAN.cleaned(read_movielens(told.folder))), back)
    parts, chosen_by = splits(dataset, by, seed)
    with tempfile.TemporaryDirectory() as place, VectorCache(told.cache or Path(place) / "vectors.sqlite") as cache:
        train = PLAN.with_vectors(parts.train, cache)
    for label in labels:
        if label in found:
            continue
        name, options = MODELS[label]
        made = make("recommender", name, options)
        if hasattr(made, "seed"):
            made.seed, made.epochs = seed, told.epochs or made.epochs
        started = time.process_time()
        made.fit(train, chosen_by)
        seconds[label] = time.process_time() - started
        found[label] = measured(made, parts.validation if told.validation else parts.test)
        print(f"{state}, seed {seed}, {label}: {seconds[label]:.0f} s", flush=True)
    text = json.dumps([found, seconds])
    if kept:
        kept.write_text(text)
    return tuple(json.loads(text))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--validation", action="store_true")
    arguments.add_argument("--split", choices=("last", "time", "both"), default="both")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments.add_argument("--back", type=int, nargs="+", default=[0], help="films of each user left out at the end")
    arguments.add_argument("--models", default=";".join(DEFAULT), help="labels, separated by ;")
    arguments.add_argument("--epochs", type=int)
    arguments.add_argument("--cache", type=Path, help="a vector cache to use; default: a new one")
    arguments.add_argument("--workers", type=int, default=1, help="seeds at the same time")
    arguments.add_argument("--keep", type=Path, help="a folder; what is measured there is not measured again")
    told = arguments.parse_args()
    ways = ("last", "time") if told.split == "both" else (told.split,)
    jobs = [(by, seed, back) for by in ways for seed in told.seeds for back in told.back]
    with ProcessPoolExecutor(told.workers) as pool:
        done = list(pool.map(run, *zip(*jobs, strict=True), repeat(told)))
    for by in ways:
        compare(by, [one for job, one in zip(jobs, done, strict=True) if job[0] == by], told)


def compare(by, done, told):
    runs = {label: [found[label] for found, _ in done] for label in told.models.split(";")}
    slices = [part for part in ("all", "others", "rare", "new") if any(run[part] for run in runs["Popular"])]
    n = {part: len(averaged(runs["Popular"], part)[0]) for part in slices}
    lists = ", ".join(f"{part} {sum(len(run[part]) for run in runs['Popular'])}" for part in slices)
    print(f"\n{by}, {'validation' if told.validation else 'test'}, {len(done)} fits a model, ndcg@{K}; lists: {lists}")
    print("| model | " + " | ".join(f"{part} (n = {n[part]})" for part in slices) + " | fit, CPU s |")
    print("|---" * (2 + len(slices)) + "|")
    values = {label: {part: averaged(own, part)[1] for part in slices} for label, own in runs.items()}
    for label in runs:
        cells = [str(estimates({label: {part: values[label][part]}}, 0)[label][part]) for part in slices]
        seconds = np.mean([times[label] for _, times in done])
        print(f"| {label} | " + " | ".join(cells) + f" | {seconds:.1f} |")
    for floor in ("SASRec, ids only", "SASRec"):
        for label in runs if floor in runs else ():
            if label != floor:
                gained = differences_by(values[label], values[floor])
                print(f"{label} minus {floor}: " + ", ".join(f"{part} {gained[part]}" for part in slices))


def differences_by(values, others):
    return {part: differences([values[part] - others[part]], 0)[0] for part in values}


if __name__ == "__main__":
    main()
