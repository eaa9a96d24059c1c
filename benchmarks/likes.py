"""Like or not (4 stars or more), from the words of a film: TextLSTM and others beside the floor of biases alone.

    python benchmarks/likes.py ../shared/data/movielens-100k --split u1           options, on a hold-out of u1.base
    python benchmarks/likes.py ../shared/data/movielens-100k --split u1 --test    the chosen ones on u1.test
    python benchmarks/likes.py ../shared/data/movielens-100k --split new [--test] the same for films without any rating

u1    fitted on u1.base, half of the ratings of half of its users held out to choose by, test: u1.test
new   all ratings of a tenth of the films are test, those of another tenth validation; the floor knows the user only

Intervals: 95 %, bootstrap over users; differences to the floor are paired by user.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fuserec import VectorCache, clean, encode, make, read_movielens
from fuserec.evaluation import open_test
from fuserec.metrics import auc, right
from fuserec.preparation.split import Split, split_cold_items
from fuserec.ratings.evaluation import measured, report_of, result
from fuserec.ratings.movielens import _part
from fuserec.ratings.predictor import hold_out_ratings

WORDS = ("title", "genres", "plot")
TRIED = {
    "Biases": ("Biases", {}),
    "TextLSTM, genres": ("TextLSTM", {"columns": ("genres",)}),
    "TextLSTM, plot": ("TextLSTM", {"columns": ("plot",)}),
    "TextLSTM, title genres plot": ("TextLSTM", {"columns": WORDS}),
    "the same, posters joined": ("TextLSTM", {"columns": WORDS, "join": ("poster",)}),
    "users' biases, genres": ("TextLSTM", {"columns": ("genres",), "biases": "users"}),
    "users' biases, title genres plot": ("TextLSTM", {"columns": WORDS, "biases": "users"}),
    "users' biases, posters joined": ("TextLSTM", {"columns": WORDS, "biases": "users", "join": ("poster",)}),
    "users' biases, rate .0003": ("TextLSTM", {"columns": WORDS, "biases": "users", "learning_rate": 3e-4}),
    "users' biases, dim and hidden 32": ("TextLSTM", {"columns": WORDS, "biases": "users", "dim": 32, "hidden": 32}),
    "both biases, title genres plot": ("TextLSTM", {"columns": WORDS, "biases": "both"}),
    "both biases, posters joined": ("TextLSTM", {"columns": WORDS, "biases": "both", "join": ("poster",)}),
    "ContentRatings": ("ContentRatings", {"by": "genres"}),
}
OTHERS = {
    "NeuMFRatings": ("NeuMFRatings", {}),
    "RatingEnsemble": ("RatingEnsemble", {}),
    "BayesianFactors": ("BayesianFactors", {"columns": ("genres",)}),
}


def parts_of(folder, by, cache):
    """The split, train with vectors, and what models of the test part are fitted on."""
    dataset = clean(read_movielens(folder))
    with VectorCache(cache) as known:
        if by == "new":
            split = split_cold_items(dataset)
            train = encode(split.train, cache=known)
            return split._replace(train=train), train
        base = encode(_part(read_movielens(folder), folder / "u1.base"), cache=known)
    part, held = hold_out_ratings(base, seed=0)
    return Split(part, held, _part(base, folder / "u1.test"), "given, u1"), base


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=("u1", "new"), required=True)
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--models", help="labels, separated by ;  default: all")
    parser.add_argument("--cache", type=Path, default=Path("vectors.sqlite"))
    told = parser.parse_args()
    split, base = parts_of(told.folder, told.split, told.cache)
    every = TRIED | (OTHERS if told.test else {})
    fitted = []
    for label in told.models.split(";") if told.models else every:
        name, options = every[label]
        start = time.process_time()
        model = make("rater", name, {**options, "like_from": 4.0}).fit(base if told.test else split.train)
        seconds, rows = time.process_time() - start, split.validation.interactions
        fitted.append((label, model, seconds))
        if not told.test:
            liked, chance = rows.ratings >= 4.0, model.like(rows.users, rows.items)
            print(
                f"{label:34s} n {len(rows):,}  accuracy {np.mean(right(liked, chance)):.4f}  AUC"
                f" {auc(liked, chance):.4f}  RMSE {measured(model, split.validation):.4f}  {seconds:.1f} s",
                flush=True,
            )
    if told.test:
        show(split, base, fitted)


def show(split, base, fitted):
    test, opened = open_test(split)
    results = [result(label, model, test, 0.0, fit_seconds=seconds) for label, model, seconds in fitted]
    report = report_of(split, base, test, fitted[0][1], results, test_opened=opened)
    print(report.caption().replace("● lowest RMSE on validation. ", ""))
    floor = results[0].label
    for row in results:
        one = report.estimates[row.label]
        print(f"{row.label:34s} " + "  ".join(f"{name} {one[name]}" for name in ("accuracy", "auc", "rmse")), end="  ")
        print(f"{row.fit_seconds:.1f} s" + ("" if row.label == floor else f"  above {floor}: {gained(report, row)}"))


def gained(report, row, resamples=1_000):
    """How much more accuracy and AUC a model has than the first one, over the same draws of users."""
    liked, users = report.ratings >= report.like_from, np.unique(report.users, return_inverse=True)[1]
    both = (row.chance, report.models[0].chance)
    hits = [np.bincount(users, right(liked, chance)) for chance in both]
    counts = np.bincount(users)
    rng = np.random.default_rng(0)
    drawn = [np.bincount(rng.integers(0, len(counts), len(counts)), minlength=len(counts)) for _ in range(resamples)]
    told = []
    for name, whole, each in (
        ("accuracy", (hits[0] - hits[1]).sum() / counts.sum(), [d @ (hits[0] - hits[1]) / (d @ counts) for d in drawn]),
        (
            "AUC",
            auc(liked, both[0]) - auc(liked, both[1]),
            [auc(liked, both[0], d[users]) - auc(liked, both[1], d[users]) for d in drawn[: resamples // 5]],
        ),
    ):
        low, high = np.quantile(each, [0.025, 0.975])
        told.append(f"{name} {whole:+.4f} [{low:+.4f}, {high:+.4f}]")
    return ", ".join(told)


if __name__ == "__main__":
    main()
