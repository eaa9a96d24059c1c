"""Accuracy against seconds on TikTok: the models of `fuserec benchmark tiktok`, and peers, in one run.

python benchmarks/speed.py ../shared/data/tiktok [--cornac PYTHON] [--json FILE] [--plot PNG] [--only TEXT]
    [--epochs 2]        whether it all runs, in a few minutes: learned models have so many epochs

Every model is fitted in a process of its own; accuracy is that of the validation part, test stays shut. Peers:

* LightGCN with `torch.sparse.mm`, as most code of this kind has it: the same start, loss and batches, the same
  gradients (checked), only the product with the graph differs
* cornac's BPR, if a Python that has it is named: python -m venv /tmp/cornac && /tmp/cornac/bin/pip install cornac,
  then --cornac /tmp/cornac/bin/python

The plot needs matplotlib: pip install 'fuserec[dev]'.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from child import cpu_seconds, measured, peak_mb

K = 20
SPARSE = "LightGCN with torch.sparse.mm"
CORNAC = "cornac BPR"
PEER = {"k": 128, "max_iter": 200, "learning_rate": 0.1, "lambda_reg": 0.02}  # the best of six on validation


def parts_of(folder):
    from fuserec import read_mmrec, split_given

    return split_given(read_mmrec(folder))


def components():
    """Label → name and options: what the public benchmark compares, and the factor models."""
    from fuserec.benchmark import TIKTOK
    from fuserec.recipe import Component

    return {part.label: part for part in [Component(name="BPR"), *TIKTOK.models]}


def shortened(part, epochs):
    """A model {name, options}, or what it is made of → the same with so many epochs wherever there are any."""
    from fuserec.registry import load

    if isinstance(part, list | tuple):
        return [shortened(one, epochs) for one in part]
    if not isinstance(part, dict) or not epochs:
        return part
    found = {key: shortened(value, epochs) for key, value in part.items()}
    return found | ({"epochs": epochs} if hasattr(load("recommender", part["name"]), "epochs") else {})


def sparse_light_gcn():
    """LightGCN as peers write it: one adjacency of users and items, multiplied by `torch.sparse.mm`."""
    import torch
    from scipy.sparse import bmat

    from fuserec.recommenders.edges import normalized
    from fuserec.recommenders.graph import LightGCN

    def adjacency(seen, layout="coo"):
        walk = normalized(seen)
        square = bmat([[None, walk], [walk.T, None]], format="csr")
        if layout == "csr":
            parts = (torch.from_numpy(part) for part in (square.indptr, square.indices, square.data))
            return torch.sparse_csr_tensor(*parts, size=square.shape)
        square = square.tocoo()
        places = torch.from_numpy(np.stack([square.row, square.col]).astype(np.int64))
        return torch.sparse_coo_tensor(places, torch.from_numpy(square.data), square.shape).coalesce()

    class SparseLightGCN(LightGCN):
        def tables(self, dataset):
            graph = adjacency(dataset.seen)
            warm = torch.from_numpy(dataset.warm[:, None])
            content = {
                name: torch.from_numpy(dataset.embeddings[name].centered_unit(dataset.warm))
                for name in self.columns_of(dataset)
            }

            def of(weights):
                items = torch.where(warm, weights["items"], 0.0)
                for name, vectors in content.items():
                    items = items + self.content * vectors @ weights[f"content/{name}"]
                layers = [torch.cat([weights["users"], items])]
                for _ in range(self.layers):
                    layers.append(torch.sparse.mm(graph, layers[-1]))
                users, items = sum(layers).split([dataset.n_users, dataset.n_items])
                return torch.nn.functional.normalize(users), torch.nn.functional.normalize(items)

            return of

    return SparseLightGCN, adjacency


def fit(folder, label, epochs="0"):
    """A label, and epochs unless 0 → seconds, memory, accuracy on validation, and its curve over epochs, if any."""
    import torch  # noqa: F401 what it loads is no part of the fit

    from fuserec import make
    from fuserec.evaluation import rank_and_measure

    parts = parts_of(folder)
    known = components()
    part = known[label] if label != SPARSE else next(part for part in known.values() if part.name == "LightGCN")
    options = shortened({"name": part.name, **part.options}, int(epochs))
    del options["name"]
    model = sparse_light_gcn()[0](**options) if label == SPARSE else make("recommender", part.name, options)
    before = peak_mb()
    curve = []
    start, cpu = time.perf_counter(), cpu_seconds()

    def tell(told, done, total):
        if label == SPARSE or known[label].name in ("BPR", "LightGCN"):
            curve.append((cpu_seconds() - cpu, float(told.split()[-1])))

    model.fit(parts.train, parts.validation, on_progress=tell)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds() - cpu}
    start, cpu = time.perf_counter(), cpu_seconds()
    lists = rank_and_measure(model, parts.validation, K)
    found |= {"rank_seconds": time.perf_counter() - start, "rank_cpu_seconds": cpu_seconds() - cpu}
    return found | accuracy(lists) | {"peak_mb": peak_mb(), "of_which_before_fit_mb": before, "curve": curve}


def accuracy(lists):
    return {name: float(lists.values[f"{name}@{K}"].mean()) for name in ("recall", "ndcg")} | {"n": len(lists.users)}


def propagation(folder, rounds=12):
    """CPU seconds of the propagation of one step, forward and backward, in three ways; all with equal results."""
    import torch

    from fuserec.recommenders.edges import Edges, normalized, propagate

    torch.set_num_threads(1)
    seen = parts_of(folder).train.seen
    n_users, n_items = seen.shape
    layers, dim = 4, 64
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(n_users + n_items, dim, generator=generator)
    asked = torch.randn(n_users + n_items, dim, generator=generator)  # the gradient that comes from the loss
    walk = normalized(seen)
    to_users, to_items = Edges(walk, "cpu"), Edges(walk.T.tocsr(), "cpu")
    make_graph = sparse_light_gcn()[1]
    graphs = {layout: make_graph(seen, layout) for layout in ("coo", "csr")}

    def ours(vectors):
        return torch.cat(propagate(*vectors.split([n_users, n_items]), to_users, to_items, layers))

    def peers(graph):
        def of(vectors):
            found = [vectors]
            for _ in range(layers):
                found.append(torch.sparse.mm(graph, found[-1]))
            return sum(found)

        return of

    ways = {"fuserec": ours, "torch.sparse.mm, COO": peers(graphs["coo"]), "torch.sparse.mm, CSR": peers(graphs["csr"])}
    spent = {name: [] for name in ways}
    results = {}
    for _ in range(rounds):
        for name, way in ways.items():  # in turn, so that what else runs disturbs all of them
            vectors = start.clone().requires_grad_()
            cpu = time.process_time()
            out = way(vectors)
            middle = time.process_time()
            out.backward(asked)
            spent[name].append((middle - cpu, time.process_time() - middle))
            results[name] = out.detach(), vectors.grad
    out, gradient = results["fuserec"]
    for name, (other, its_gradient) in results.items():
        for mine, theirs in ((out, other), (gradient, its_gradient)):
            assert (mine - theirs).abs().max() / theirs.abs().max() < 1e-4, name
    best = {name: np.array(times)[np.sum(times, axis=1).argmin()] for name, times in spent.items()}
    whole = {name: float(times.sum()) for name, times in best.items()}
    return {
        name: {"forward": float(times[0]), "backward": float(times[1]), "times_fuserec": whole[name] / whole["fuserec"]}
        for name, times in best.items()
    }


def same_gradients(folder):
    """The largest difference of the gradients of one step of both LightGCN, as a share of the largest gradient."""
    import torch

    from fuserec.recommenders.factors import Negatives
    from fuserec.recommenders.graph import LightGCN

    train = parts_of(folder).train
    popularity = np.asarray(train.seen.sum(axis=0)).ravel()
    pairs = train.seen.tocoo()
    rows = np.random.default_rng(1).permutation(pairs.nnz)[:4_096]
    gradients = []
    for model in (LightGCN(sampling="all"), sparse_light_gcn()[0](sampling="all")):
        start = model.start(train, np.random.default_rng(0))
        weights = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
        users, items = model.tables(train)(weights)
        chosen = pairs.col[rows].astype(np.int64)
        draw = Negatives("all", popularity, chosen, np.random.default_rng(2))
        model.loss(users[torch.from_numpy(pairs.row[rows].astype(np.int64))], items, chosen, draw).backward()
        gradients.append({name: weight.grad for name, weight in weights.items()})
    ours, theirs = gradients
    found = {name: float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()) for name in ours}
    assert max(found.values()) < 1e-4, found
    return found


def save_pairs(folder, file):
    train = parts_of(folder).train
    np.save(file, np.column_stack([train.interactions.users, train.interactions.items]))


def fit_cornac(pairs_file, factors_file, options):
    """Runs in the Python that has cornac: pairs (n, 2) → factors of users and items, and seconds."""
    from cornac.data import Dataset
    from cornac.models import BPR

    pairs = np.load(pairs_file)
    data = Dataset.from_uir([(user, item, 1.0) for user, item in pairs.tolist()], seed=0)
    model = BPR(**options, num_threads=1, seed=0, verbose=False)
    start, cpu = time.perf_counter(), cpu_seconds()
    model.fit(data)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds() - cpu, "peak_mb": peak_mb()}
    np.savez(
        factors_file,
        users=model.u_factors,
        items=np.column_stack([model.i_factors, model.i_biases]),
        user_ids=np.fromiter(data.uid_map, np.int64),
        item_ids=np.fromiter(data.iid_map, np.int64),
    )
    return found


def score_cornac(folder, factors_file):
    """Factors of cornac → its accuracy, measured by the same code as that of all others."""
    from dataclasses import dataclass

    from fuserec.evaluation import rank_and_measure
    from fuserec.recommenders.recommender import Recommender

    parts = parts_of(folder)
    given = np.load(factors_file)
    n_users, n_items = parts.train.seen.shape
    users = np.zeros((n_users, given["items"].shape[1]), np.float32)
    items = np.zeros((n_items, given["items"].shape[1]), np.float32)
    users[given["user_ids"], :-1], users[:, -1] = given["users"], 1.0
    items[given["item_ids"]] = given["items"]
    unknown = np.setdiff1d(np.arange(n_items), given["item_ids"])

    @dataclass(kw_only=True, eq=False)
    class Given(Recommender):
        def learn(self, dataset):
            pass

        def score(self, rows):
            scores = users[rows] @ items.T
            scores[:, unknown] = -1e9  # items that nobody chose are last
            return scores

    return accuracy(rank_and_measure(Given().fit(parts.train), parts.validation, K))


def plot(rows, file):
    try:
        import matplotlib
    except ImportError:
        sys.exit("the plot needs matplotlib; install it with: pip install 'fuserec[dev]', or leave --plot out")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.2))
    for place, row in enumerate(sorted(rows, key=lambda row: row["cpu_seconds"])):
        seconds = max(row["cpu_seconds"], 0.01)
        if row.get("curve"):
            line = axes.plot(*zip(*row["curve"], strict=True), linewidth=1, alpha=0.7)[0]
            color = line.get_color()
        else:
            color = "black"
        axes.plot(seconds, row["ndcg"], "o", color=color)
        right = seconds > 10 and row["label"] != SPARSE
        axes.annotate(
            row["short"],
            (seconds, row["ndcg"]),
            (-6 if right else 6, 5 if place % 2 else -12),  # above and below, or neighbors write over each other
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.set_xlabel("CPU seconds to fit, validation passes included (one thread)")
    axes.set_xlim(0.005, 900)
    axes.set_ylabel(f"NDCG@{K} on validation")
    axes.set_title("TikTok: accuracy against seconds; lines: learned models, epoch by epoch")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)


def short(label):
    """What fits into the plot."""
    if label.startswith("LateFusion"):
        return "LateFusion" + (", no content" if "ContentWalk" not in label else "")
    return label if label.startswith("RandomWalk") else label.partition("(")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cornac", help="the Python that has cornac")
    parser.add_argument("--json", type=Path, help="what was measured is kept there, and not measured again")
    parser.add_argument("--plot", type=Path, help="write the plot there, PNG")
    parser.add_argument("--only", default="", help="only models with this in their label")
    parser.add_argument("--epochs", type=int, default=0, help="so many of learned models, to see whether it all runs")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        what, *rest = given.child
        jobs = {
            "fit": fit,
            "propagation": propagation,
            "gradients": same_gradients,
            "score": score_cornac,
            "pairs": save_pairs,
        }
        if what == "labels":
            print(json.dumps(list(components())))
        elif what == "cornac":
            print(json.dumps(fit_cornac(rest[0], rest[1], json.loads(rest[2]))))
        else:
            print(json.dumps(jobs[what](given.folder, *rest)))
        return

    def child(*arguments, python=sys.executable):
        return measured(__file__, given.folder, "--child", *arguments, python=python)

    rows = json.loads(given.json.read_text())["models"] if given.json and given.json.exists() else []

    def keep(row):
        rows.append({"label": row["label"], "short": short(row["label"])} | row)
        print(json.dumps({key: value for key, value in row.items() if key != "curve"}), file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps({"models": rows}) + "\n")

    known = [row["label"] for row in rows]
    peer = PEER | ({"max_iter": given.epochs} if given.epochs else {})
    if given.cornac and CORNAC not in known:
        with tempfile.TemporaryDirectory() as folder:
            pairs, factors = Path(folder) / "pairs.npy", Path(folder) / "factors.npz"
            child("pairs", pairs)
            fitted = child("cornac", pairs, factors, json.dumps(peer), python=given.cornac)
            keep({"label": CORNAC, "options": peer} | fitted | ({} if "failed" in fitted else child("score", factors)))
    for label in [SPARSE, *child("labels")]:
        if label not in known and given.only in label:
            keep({"label": label} | child("fit", label, str(given.epochs)))
    told = {"benchmark": "speed", "selection": "validation", "test_opened": 0, "models": rows}
    told |= {"gradients": child("gradients"), "propagation": child("propagation")}
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    print(f"| model | NDCG@{K} | Recall@{K} | fit, CPU s | fit, wall s | an epoch, CPU s | rank, CPU s | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    good = sorted((row for row in rows if "failed" not in row), key=lambda row: row["cpu_seconds"])
    for row in good:
        epoch = f"{row['cpu_seconds'] / len(row['curve']):.2f}" if row.get("curve") else ""
        rank = f"{row['rank_cpu_seconds']:.2f}" if "rank_cpu_seconds" in row else ""
        print(
            f"| {row['label']} | {row['ndcg']:.4f} | {row['recall']:.4f} | {row['cpu_seconds']:.2f} | "
            f"{row['seconds']:.2f} | {epoch} | {rank} | {row['peak_mb']:.0f} |"
        )
    for row in rows:
        if "failed" in row:
            print(f"{row['label']} failed: {row['failed']}")
    print("\npropagation of one step, 4 layers, 64 columns:")
    for name, times in told["propagation"].items():
        print(
            f"{name}: forward {times['forward']:.3f} s, backward {times['backward']:.3f} s, "
            f"{times['times_fuserec']:.1f} times as long as fuserec"
        )
    print(f"gradients of one step differ by at most {max(told['gradients'].values()):.1e} of the largest")
    if given.plot:
        plot(good, given.plot)


if __name__ == "__main__":
    main()
