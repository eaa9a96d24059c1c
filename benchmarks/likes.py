"""Like or not (4 stars or more), from the words of a film: TextLSTM and others beside the floor of biases alone.

    python benchmarks/likes.py ../shared/data/movielens-100k --split u1         options, on a hold-out of u1.base
    python benchmarks/likes.py ../shared/data/movielens-100k --split u1 --test  the chosen ones on u1.test
    python benchmarks/likes.py ../shared/data/movielens-100k --split new [--test]  items without any rating
    python benchmarks/likes.py toy --split new [--test]                            the same in toy shops, sounds joined

u1    fitted on u1.base, half of the ratings of half of its users held out to choose by, test: u1.test
new   items are dealt into tenths; with seed s, all ratings of tenth s are test, those of tenth s + 5 validation (so
      that no item of a test part is in any validation part), which also ends training; toy: the shop of seed s. The
      floor knows the user only.

Intervals: 95 %, bootstrap over users (new: over items, of all seeds); differences to the floor are paired.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fuserec import VectorCache, clean, encode, make, read_movielens, toy_shop
from fuserec.evaluation import open_test
from fuserec.metrics import auc, right
from fuserec.preparation.split import Split
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
FILM, THING = {"columns": WORDS, "biases": "users"}, {"biases": "users"}  # of a shop: all texts
NEW = {
    "Biases": ("Biases", {}),
    "TextLSTM, no biases": ("TextLSTM", {"columns": WORDS}),
    "TextLSTM": ("TextLSTM", FILM),
    "TextLSTM, genres": ("TextLSTM", {**FILM, "columns": ("genres",)}),
    "TextLSTM, genres, pictures joined": ("TextLSTM", {**FILM, "columns": ("genres",), "join": ("poster",)}),
    "TextLSTM, 32": ("TextLSTM", {**FILM, "dim": 32, "hidden": 32}),
    "TextLSTM, 32, pictures joined": ("TextLSTM", {**FILM, "dim": 32, "hidden": 32, "join": ("poster",)}),
    "TextLSTM, pictures joined": ("TextLSTM", {**FILM, "join": ("poster",)}),
    "ContentRatings, genres": ("ContentRatings", {"by": "genres"}),
    "BayesianFactors, genres": ("BayesianFactors", {"columns": ("genres",)}),
    "BayesianFactors, genres, plot": ("BayesianFactors", {"columns": ("genres", "plot")}),
}
TOY = {
    "Biases": ("Biases", {}),
    "TextLSTM, no biases": ("TextLSTM", {}),
    "TextLSTM": ("TextLSTM", THING),
    "TextLSTM, 32": ("TextLSTM", {**THING, "dim": 32, "hidden": 32}),
    "TextLSTM, pictures joined": ("TextLSTM", {**THING, "join": ("photo",)}),
    "TextLSTM, sounds joined": ("TextLSTM", {**THING, "join": ("jingle",)}),
    "TextLSTM, both joined": ("TextLSTM", {**THING, "join": ("photo", "jingle")}),
    "BayesianFactors": ("BayesianFactors", {"columns": ("title", "description", "photo", "jingle")}),
}


def parts_of(folder, cache):
    """The split, train with vectors, and what models of the test part are fitted on."""
    with VectorCache(cache) as known:
        base = encode(_part(read_movielens(folder), folder / "u1.base"), cache=known)
    part, held = hold_out_ratings(base, seed=0)
    return Split(part, held, _part(base, folder / "u1.test"), "given, u1"), base


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=("u1", "new"), required=True)
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of --split new")
    parser.add_argument("--models", help="labels, separated by ;  default: all")
    parser.add_argument("--cache", type=Path, default=Path("vectors.sqlite"))
    told = parser.parse_args()
    if told.split == "new":
        return show_new(told)
    split, base = parts_of(told.folder, told.cache)
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


def new_items(folder, seed, cache):
    """A split of a seed: tenth `seed` of the items is test, tenth `seed + 5` validation; train has vectors."""
    dataset = clean(toy_shop(seed=seed) if folder == Path("toy") else read_movielens(folder))
    tenth = np.random.default_rng(0).permutation(dataset.n_items)[dataset.interactions.items] % 10
    held = (tenth == seed + 5, tenth == seed)
    train, validation, test = (
        replace(dataset, interactions=dataset.interactions.take(part)) for part in (~held[0] & ~held[1], *held)
    )
    with VectorCache(cache) as known:
        return Split(encode(train, cache=known), validation, test, "new items")


def show_new(told):
    """Accuracy and AUC of each label over the ratings of new items of all seeds, and above the first label."""
    every = TOY if told.folder == Path("toy") else NEW
    labels = told.models.split(";") if told.models else list(every)
    found, items, liked, seconds = {label: [] for label in labels}, [], [], dict.fromkeys(labels, 0.0)
    for seed in told.seeds:
        split = new_items(told.folder, seed, told.cache)
        rows = (open_test(split)[0] if told.test else split.validation).interactions
        items.append(rows.items + seed * split.train.n_items)
        liked.append(rows.ratings >= 4.0)
        for label in labels:
            name, options = every[label]
            model = make("rater", name, {**options, "like_from": 4.0})
            if hasattr(model, "seed"):
                model.seed = seed
            start = time.process_time()
            model.fit(split.train, split.validation)
            seconds[label] += time.process_time() - start
            found[label].append(model.like(rows.users, rows.items))
    of_seed = np.repeat(told.seeds, [len(one) for one in items])
    items, liked = np.unique(np.concatenate(items), return_inverse=True)[1], np.concatenate(liked)
    print(f"{len(liked):,} ratings of {items.max() + 1} items, {liked.mean():.3f} of them likes; seeds {told.seeds}")
    rng, n = np.random.default_rng(0), items.max() + 1
    weights = [np.ones(len(items))]
    weights += [np.bincount(rng.integers(0, n, n), minlength=n)[items] for _ in range(300)]

    def measures(label):
        """Accuracy and AUC (1 + 300 draws of items, 2); AUC within a seed, since seeds are models of their own."""
        chance = np.concatenate(found[label])
        hit = right(liked, chance)
        told_apart = [
            np.mean([auc(liked[own], chance[own], w[own]) for own in (of_seed == seed for seed in told.seeds)])
            for w in weights
        ]
        return np.stack([[w @ hit / w.sum() for w in weights], told_apart], axis=1)

    values = {label: measures(label) for label in labels}
    for label, own in values.items():
        plain = label.rsplit(", ", 1)[0] if label.endswith("joined") else label
        others = [("", 0.0), (" above floor", values[labels[0]])]
        others += [(" above it without", values[plain])] if plain != label and plain in values else []
        cells = []
        for place, name in enumerate(("accuracy", "AUC")):
            for told_as, other in others:
                each = (own - other)[:, place]
                low, high = np.quantile(each[1:], [0.025, 0.975])
                sign = "+" if told_as else ""
                cells.append(f"{name}{told_as} {each[0]:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]")
        print(f"{label:34s} " + "  ".join(cells) + f"  {seconds[label] / len(told.seeds):.1f} s", flush=True)


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
