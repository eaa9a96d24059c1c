"""Seconds until a brand-new item can be recommended, beside those of fitting again; the scores are compared.

python benchmarks/new_item.py           10,000 items, 20,000 users, 300,000 interactions, synthetic
python benchmarks/new_item.py 100000    as many items
"""

import sys
import time
from dataclasses import replace

import numpy as np

from fuserec import encode, fuse, make
from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.encoders.text import TfidfText

MODELS = ("ContentNeighbors", "ContentWalk")
REPEATS = 5


def shop(n_items, n_users=20_000, seed=0):
    """Items of 50 kinds with a title, a picture's vector (256) and a sound's (128); users each go for one kind."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 50, n_items)
    words = rng.integers(0, 40, (n_items, 6))
    titles = tuple(" ".join(f"kind{k}word{w}" for w in row) for k, row in zip(kind, words, strict=True))
    catalog = Catalog(Ids(map(str, range(n_items))), {"title": Column("title", "text", titles)})
    n = 30 * n_items
    users, items = rng.integers(0, n_users, n), (n_items * rng.random(n) ** 2).astype(np.int64)
    kept = (kind[items] == users % 50) | (rng.random(n) < 0.1)
    kept &= items < n_items - 1  # the last item is new
    dataset = Dataset(
        "synthetic", catalog, Ids(map(str, range(n_users)), "user"), Interactions(users[kept], items[kept])
    )
    for name, modality, dim in (("photo", "image", 256), ("sound", "audio", 128)):
        vectors = rng.standard_normal((50, dim))[kind] + rng.standard_normal((n_items, dim))
        dataset = dataset.with_embeddings(name, Embeddings(vectors, np.ones(n_items, bool), name, modality))
    return dataset


def take(dataset, rows):
    vectors = {
        name: replace(e, vectors=e.vectors[rows], present=e.present[rows], filled=e.filled[rows])
        for name, e in dataset.embeddings.items()
    }
    return replace(dataset, catalog=dataset.catalog.take(rows), embeddings=vectors)


def fitted(name, dataset):
    return make("recommender", name).fit(fuse(encode(dataset, {"title": TfidfText(dim=128)})))


def main():
    n_items = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    everything = shop(n_items)
    rows = np.arange(n_items)
    known = take(everything, rows[:-1])
    new = take(replace(everything, interactions=everything.interactions.take(np.zeros(0, np.int64))), rows[-1:])
    print(f"{n_items:,} items, {everything.n_users:,} users, {len(everything.interactions):,} interactions")
    print(
        "| model | with_items, s (median of 5) | a list after that, ms | encode, fuse and fit again, s "
        "| largest difference of scores |"
    )
    print("|---|---|---|---|---|")
    for name in MODELS:
        model = fitted(name, known)
        seconds = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            more = model.with_items(new.catalog, new.embeddings)
            seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        more.recommend("7", 10)
        listed = time.perf_counter() - started
        started = time.perf_counter()
        again = fitted(name, everything)
        refit = time.perf_counter() - started
        users = np.arange(200)
        expected = again.score(users)
        apart = np.abs(more.score(users) - expected).max() / np.abs(expected).max()
        print(f"| {name} | {np.median(seconds):.2f} | {1e3 * listed:.1f} | {refit:.1f} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
