"""Fit time and memory as the data grow: synthetic, power-law, users and items in proportion to the interactions.

python benchmarks/scale.py                                 60 thousand, 600 thousand and 6 million interactions
python benchmarks/scale.py --large                         1 million items, 1 million users, 10 million interactions
python benchmarks/scale.py --models RandomWalk,LightGCN    only these; --gigabytes 16: the most memory a model may take

Each model is fitted in a process of its own. Learned models run one epoch (their time is in proportion to epochs) and
hold out interactions for validation themselves, as in `fuserec train`. ContentWalk: one column of 64 numbers.

The same work at every size: small batches, so that every epoch has the most gradient steps; walks keep no table, which
they would only of the smallest catalog. --defaults: neither. `memory` does no more than to read: each user's sum of the
vectors (64 numbers) of his items, by one call of torch. What grows as that does waits for memory, not for work.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from child import cpu_seconds, measured, peak_mb

MODELS = {
    "memory": {},
    "RandomWalk": {"kept": 0},
    "ContentWalk": {"kept": 0},
    "BPR": {"epochs": 1, "batch": 512},
    "SoftmaxFactors": {"epochs": 1, "batch": 512},
    "LightGCN": {"epochs": 1, "batch": 512, "content": 0.0},
}
SAME_WORK = ("kept", "batch")
PASSES = 40  # of `memory`, as many as LightGCN makes in 5 steps
SIZES = {"1x": (60_000, 8_000, 6_000), "10x": (600_000, 80_000, 60_000), "100x": (6_000_000, 800_000, 600_000)}
LARGE = {"1M items x 10M": (10_000_000, 1_000_000, 1_000_000)}  # interactions, users, items
OF_A_CLUSTER = 100  # items that are alike


def synthetic(n, n_users, n_items, dim=0, seed=0):
    """Interactions, users and items → a dataset: few items have most interactions (Zipf), users have two tastes.

    dim: of the vectors of a column `vector`, alike within a cluster of items; 0: no column
    """
    from fuserec.data.catalog import Catalog
    from fuserec.data.dataset import Dataset
    from fuserec.data.embeddings import Embeddings
    from fuserec.data.ids import Ids
    from fuserec.data.interactions import Interactions

    rng = np.random.default_rng(seed)
    n_clusters = n_items // OF_A_CLUSTER
    drawn = n + n // 5
    users = (n_users * rng.random(drawn) ** 2).astype(np.int64)
    tastes = rng.integers(0, n_clusters, (n_users, 2))
    cluster = np.where(rng.random(drawn) < 0.7, tastes[users, rng.integers(0, 2, drawn)], -1)
    items = np.where(
        cluster >= 0,
        cluster + n_clusters * (OF_A_CLUSTER * rng.random(drawn) ** 3).astype(np.int64),  # low numbers are popular
        (n_items ** rng.random(drawn)).astype(np.int64) - 1,  # 1 / rank
    )
    known = np.unique(users * n_items + items)  # a fifth more were drawn, since some are drawn twice
    users, items = np.divmod(rng.permutation(known)[:n], n_items)
    vectors = {}
    if dim:
        centers = rng.standard_normal((n_clusters, dim), dtype=np.float32)
        noisy = centers[np.arange(n_items) % n_clusters] + rng.standard_normal((n_items, dim), dtype=np.float32)
        vectors["vector"] = Embeddings(noisy, np.ones(n_items, bool), "synthetic")
    catalog = Catalog(Ids(f"i{row}" for row in range(n_items)), {})
    ids = Ids((f"u{row}" for row in range(n_users)), "user")
    return Dataset("synthetic", catalog, ids, Interactions(users, items), vectors)


def read(n, n_users, n_items):
    """A size → seconds of `PASSES` over the interactions, each reading a vector of 64 numbers, and memory."""
    import torch

    torch.set_num_threads(1)
    seen = synthetic(n, n_users, n_items).seen
    items, starts = torch.from_numpy(seen.indices), torch.from_numpy(seen.indptr[:-1])
    vectors, before = torch.ones(n_items, 64), peak_mb()
    start, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(PASSES):
        torch.nn.functional.embedding_bag(items, vectors, starts, mode="sum")
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds() - cpu, "peak_mb": peak_mb()}
    return found | {"of_which_dataset_mb": before, "n_interactions": seen.nnz, "rank_ms_a_user": 0.0}


def fit(name, n, n_users, n_items, most_steps, defaults):
    """A model and a size → seconds to fit, and memory.

    most_steps: of the epoch that are made; the others cost next to nothing
    """
    import torch

    from fuserec import make

    if name == "memory":
        return read(n, n_users, n_items)
    torch.set_num_threads(1)
    dataset = synthetic(n, n_users, n_items, dim=64 if name == "ContentWalk" else 0)
    options = {key: value for key, value in MODELS[name].items() if not (defaults and key in SAME_WORK)}
    model = make("recommender", name, options)
    before = peak_mb()
    start, cpu = time.perf_counter(), cpu_seconds()
    at = []  # CPU seconds when each gradient step begins
    if hasattr(model, "loss"):
        whole = model.loss

        def loss(users, items, *given):
            at.append(cpu_seconds() - cpu)
            print(f"{name}: step {len(at)}, {at[-1]:.0f} CPU s, peak {peak_mb():.0f} MB", file=sys.stderr, flush=True)
            return whole(users, items, *given) if len(at) <= most_steps else torch.zeros((), requires_grad=True)

        def tables(dataset, whole=model.tables):
            made = whole(dataset)
            short = lambda weights: (weights["users"], weights["items"])  # noqa: E731
            return lambda weights: (short if torch.is_grad_enabled() and len(at) >= most_steps else made)(weights)

        model.loss, model.tables = loss, tables
    model.fit(dataset)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds() - cpu}
    if len(at) > most_steps:  # the others would have taken as long as those
        steps = np.diff(at)
        whole_steps, others = steps[: most_steps - 1].mean(), steps[most_steps:].mean()
        found["cpu_seconds"] += (len(at) - most_steps) * float(whole_steps - others)
        found["steps"], found["measured_steps"] = len(at), most_steps
    found |= {"peak_mb": peak_mb(), "of_which_dataset_mb": before, "n_interactions": len(dataset.interactions)}
    start = time.perf_counter()
    ranked, _ = model.rank(np.arange(20), 10)  # the model works
    assert (ranked >= 0).all()
    found["rank_ms_a_user"] = 50.0 * (time.perf_counter() - start)
    if getattr(model, "validation_", None) is not None:
        found["validation"] = float(model.validation_.max())
    return found


def exponent(sizes, values):
    """The a of value ~ (n log n)^a, by least squares of the logs: 1 is n log n, 2 its square."""
    n = np.array(sizes, float)
    return float(np.polyfit(np.log(n * np.log(n)), np.log(values), 1)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--gigabytes", type=float, help="of address space a model may take")
    parser.add_argument("--json", type=Path, help="write what was measured there")
    parser.add_argument("--sizes", default="", help="only these, such as 1x,10x")
    parser.add_argument("--steps", type=int, default=10**9, help="so many of an epoch are measured, others estimated")
    parser.add_argument("--repeat", type=int, default=1, help="fits of each size; the fastest counts")
    parser.add_argument("--defaults", action="store_true", help="of models, where sizes differ in what is done")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, told = given.child
        print(json.dumps(fit(name, *json.loads(told))))
        return
    sizes = LARGE if given.large else {name: size for name, size in SIZES.items() if name in (given.sizes or name)}
    print("| model | size | fit, CPU s | fit, wall s | peak MB | of it the data | a list, ms | grows as (n log n)^ |")
    print("|---|---|---|---|---|---|---|---|")
    told = {}
    for name in given.models.split(","):
        rows = told[name] = {}
        for label, size in sizes.items():
            child = ("--child", name, json.dumps([*size, given.steps, given.defaults]))
            runs = [measured(__file__, *child, gigabytes=given.gigabytes) for _ in range(given.repeat)]
            row = rows[label] = min(runs, key=lambda run: run.get("cpu_seconds", np.inf))
            if "failed" in row:
                print(f"| {name} | {label} | failed: {row['failed']} |", flush=True)
                break
            grows = ""
            if label == list(sizes)[-1] and len(rows) > 1:
                n = [one["n_interactions"] for one in rows.values()]
                time_grows = exponent(n, [one["cpu_seconds"] for one in rows.values()])
                grows = f"time {time_grows:.2f}, memory {exponent(n, [one['peak_mb'] for one in rows.values()]):.2f}"
            print(
                f"| {name} | {label} | {row['cpu_seconds']:.2f} | {row['seconds']:.2f} | {row['peak_mb']:.0f} | "
                f"{row['of_which_dataset_mb']:.0f} | {row['rank_ms_a_user']:.1f} | {grows} |",
                flush=True,
            )
            if given.json:
                given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
