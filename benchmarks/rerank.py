"""What diversity costs: a table of ndcg@10 and of how unlike the items of a list are, side by side; validation part.

python benchmarks/rerank.py                                      toy shops of seeds 0 to 4, and MovieLens-100K
python benchmarks/rerank.py ../shared/data/movielens-100k        MovieLens from another folder
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fuserec import VectorCache, make, metrics, read_movielens, rerank, toy_shop
from fuserec.demo import RECIPE
from fuserec.evaluation import rank_and_measure

K = 10
MODEL = ("ContentWalk", {})
RULES = {
    "the model alone": {},
    "diversity 0.1": {"diversity": 0.1},
    "diversity 0.3": {"diversity": 0.3},
    "diversity 0.5": {"diversity": 0.5},
    "novelty 0.1": {"novelty": 0.1},
    "novelty 0.3": {"novelty": 0.3},
}


def distance(ranked, embeddings, warm):
    """Lists (n, k) → the mean of 1 - cosine over the pairs of items of each that have vectors (Ziegler 2005, eq. 5)."""
    unit = embeddings.centered_unit(warm)
    values = []
    for row in ranked:
        vectors = unit[row[row >= 0][embeddings.present[row[row >= 0]]]]
        if len(vectors) > 1:
            cosine = vectors @ vectors.T
            values.append(1.0 - cosine[np.triu_indices(len(cosine), 1)].mean())
    return float(np.mean(values))


def measured(dataset, cache):
    """A dataset → rule → ndcg of every validation user, and distance by column, novelty, coverage, seconds."""
    split = RECIPE.split.split(RECIPE.cleaned(dataset))
    with VectorCache(cache) as vectors:
        train = RECIPE.with_vectors(split.train, vectors)
    model = make("recommender", *MODEL).fit(train)
    columns = {name: e for name, e in train.embeddings.items() if not name.startswith("shared-")}
    caps = {"at most 3 a genre": {"cap_column": "genres", "cap": 3}} if "genres" in train.catalog.columns else {}
    found = {}
    for label, rules in {**RULES, **caps}.items():
        started = time.perf_counter()
        lists = rank_and_measure(rerank(model, **rules) if rules else model, split.validation, K)
        seconds = time.perf_counter() - started
        found[label] = {
            "ndcg": lists.values[f"ndcg@{K}"],
            "novelty": metrics.novelty(lists.ranked, model.popularity_, train.n_users),
            "coverage": metrics.coverage(lists.ranked, train.n_items),
            "ms a user": 1e3 * seconds / len(lists.users),
            **{f"distance {name}": distance(lists.ranked, e, train.warm) for name, e in columns.items()},
        }
    return found


def print_table(runs):
    n = sum(len(run["the model alone"]["ndcg"]) for run in runs)
    print(f"n = {n} users; {MODEL[0]}, k = {K}, validation part")
    names = [name for name in runs[0]["the model alone"] if name != "ndcg"]
    print("| rule | ndcg@10 | change, 95 % interval | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 3) + "|")
    base = np.concatenate([run["the model alone"]["ndcg"] for run in runs])
    for label in runs[0]:
        ndcg = np.concatenate([run[label]["ndcg"] for run in runs])
        drawn = np.random.default_rng(0).integers(0, n, (1_000, n))
        low, high = np.percentile((ndcg - base)[drawn].mean(axis=1), [2.5, 97.5])
        change = "" if label == "the model alone" else f"{(ndcg - base).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        values = [np.mean([np.mean(run[label][name]) for run in runs]) for name in names]
        print(f"| {label} | {ndcg.mean():.4f} | {change} | " + " | ".join(f"{value:.3g}" for value in values) + " |")


def main():
    movielens = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/movielens-100k")
    with tempfile.TemporaryDirectory() as place:
        runs = []
        for seed in range(5):
            folder = Path(place) / f"shop-{seed}"
            runs.append(measured(toy_shop(300, 200, seed, folder=folder), folder / "vectors.sqlite"))
        print("toy shops of seeds 0 to 4, 300 items and 200 users each")
        print_table(runs)
        print("\nMovieLens-100K, split by time")
        print_table([measured(read_movielens(movielens), Path(place) / "movielens.sqlite")])


if __name__ == "__main__":
    main()
