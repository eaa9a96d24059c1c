"""Seconds to rank and measure all test users, and to fit each model; beside it a loop over users, as a ratio.

python benchmarks/ranking.py                          synthetic data of TikTok's size
python benchmarks/ranking.py ../shared/data/tiktok    the real files
"""

import sys
import time
from pathlib import Path

import numpy as np

from fuserec import evaluate, make, read_mmrec, split_given
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.evaluation import rank_and_measure

K = 20


def synthetic(n_users=9_308, n_items=6_710, n=68_722, seed=0):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, n_users, n)
    items = (n_items * rng.random(n) ** 3).astype(np.int64)
    splits = rng.choice(3, n, p=[0.87, 0.04, 0.09]).astype(np.int8)
    catalog = Catalog(Ids(map(str, range(n_items))), {})
    return Dataset(
        "synthetic", catalog, Ids(map(str, range(n_users)), "user"), Interactions(users, items, None, None, splits)
    )


def one_by_one(model, test):
    """The plain way: for each user sort all scores, look each item up in a set."""
    recalls = []
    for user in np.flatnonzero(np.diff(test.seen.indptr)):
        scores = model.score(np.array([user]))[0].copy()
        scores[model.seen_[[user]].indices] = -np.inf
        best = np.argsort(-scores, kind="stable")[:K]
        relevant = set(test.seen[[user]].indices.tolist()) - set(model.seen_[[user]].indices.tolist())
        if relevant:
            recalls.append(len(relevant & set(best.tolist())) / len(relevant))
    return float(np.mean(recalls))


def main():
    data = read_mmrec(Path(sys.argv[1])) if len(sys.argv) > 1 else synthetic()
    split = split_given(data)
    model = make("recommender", "Popular").fit(split.train)
    started = time.perf_counter()
    lists = rank_and_measure(model, split.test, K)
    fast = time.perf_counter() - started
    started = time.perf_counter()
    slow_recall = one_by_one(model, split.test)
    slow = time.perf_counter() - started
    assert abs(slow_recall - lists.values[f"recall@{K}"].mean()) < 1e-9
    print(f"rank and measure {len(lists.users):,} users x {data.n_items:,} items, k={K}: {fast:.2f} s")
    print(f"one user at a time: {slow:.2f} s, {slow / fast:.1f} times as long, the same recall")
    names = ["Popular", "ItemNeighbors", "EASE", "RandomWalk"]
    models = {name: make("recommender", name) for name in names}
    models["RandomWalk(hops=4)"] = make("recommender", "RandomWalk", {"hops": 4})
    if data.embeddings:
        models["ContentWalk(hops=3, content=0.1, fade=1, discount=0)"] = make(
            "recommender", "ContentWalk", {"hops": 3, "content": 0.1, "fade": 1.0, "discount": 0.0}
        )
    print(evaluate(models, split, k=K))


if __name__ == "__main__":
    main()
