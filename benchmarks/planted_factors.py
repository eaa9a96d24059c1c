"""Models of two tables of vectors, planted instead of learned: for servers of so many items that this takes hours."""

from dataclasses import replace

import numpy as np
from scale import OF_A_CLUSTER, synthetic

from fuserec import make
from fuserec.data.catalog import Catalog, Column
from fuserec.data.embeddings import unit
from fuserec.data.ids import Ids
from fuserec.recommenders.cells import cells_of
from fuserec.recommenders.reach import best_reached

MODELS = ("BPR", "LightGCN", "SoftmaxFactors")
EACH = 10  # interactions of a user


def planted(name, n_items, n_users, dim=128, seed=0):
    """A name of `MODELS` and sizes → that model, as if fitted: items around centers, users near the two they chose of.

    Users chose as in scale.py. Ids of users and items are numbers. BPR has items of very different lengths.
    """
    dataset = synthetic(EACH * n_users, n_users, n_items, seed=seed)
    dataset = replace(dataset, users=Ids(map(str, range(n_users)), "user"))
    rng = np.random.default_rng(seed)
    titles = Column("title", "text", tuple(f"Item number {n}" for n in range(n_items)))
    n_clusters = n_items // OF_A_CLUSTER
    items = rng.standard_normal((n_clusters, dim), dtype=np.float32)[np.arange(n_items) % n_clusters]
    items += rng.standard_normal((n_items, dim), dtype=np.float32)
    users = dataset.seen @ unit(items) + 0.5 * rng.standard_normal((n_users, dim), dtype=np.float32) / dim**0.5
    model = make("recommender", name, {"dim": dim})
    model.catalog_ = Catalog(Ids(map(str, range(n_items))), {"title": titles})
    model.users_, model.seen_ = dataset.users, dataset.seen
    model.order_, model.times_ = dataset.history.items.astype(np.int32), dataset.history.times
    model.embeddings_, model.stages_ = {}, ()
    model.popularity_ = np.asarray(dataset.seen.sum(axis=0), np.float32).ravel()
    if name == "BPR":
        items *= rng.lognormal(0.0, 0.3, (n_items, 1)).astype(np.float32)
        users[:, -1] = 1.0  # by which biases are added
        items[:, -1] = np.log1p(model.popularity_)
    else:
        users, items = unit(users), unit(items)
    model.user_vectors_, model.item_vectors_ = np.ascontiguousarray(users), items
    model.cells_ = cells_of(items)
    return model


def recall(model, users, k=20):
    """A planted model and user rows → the share of the k best items that a server finds, which looks into cells."""
    exact, _ = model.rank(users, k)
    found, everything = 0, np.ones(model.catalog_.n_items, bool)
    for user, best in zip(users, exact, strict=True):
        seen = model.history.of_user(user)[0]
        found += np.isin(best, best_reached(model.reach(int(user), seen, k + len(seen)), k, everything, seen)[0]).sum()
    return found / exact.size
