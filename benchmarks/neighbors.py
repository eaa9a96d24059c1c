"""The approximate neighbor graph of large catalogs beside the exact one: processor seconds, and how much is found.

    python benchmarks/neighbors.py [../shared/data/tiktok]

Synthetic vectors (64 numbers) of 20, 60 and 200 thousand items, in 200 clusters and in clusters of 100 items, and the
.npy files of a folder. Recall@50 and the mean cosine of the 50 neighbors, on 500 items drawn by seed 1.
--sizes 600000: of so many items; exact seconds are those of the items asked, times n / 500.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fuserec import retrieval
from fuserec.data.embeddings import unit

K, ASKED = 50, 500


def measure(name: str, vectors: np.ndarray) -> None:
    n = len(vectors)
    asked = np.random.default_rng(1).permutation(n)[:ASKED]
    graphs, seconds = [], []
    for rows, make in (
        (asked, lambda: retrieval._nearest(vectors, asked, np.arange(n), K, -2.0)),
        (np.arange(n), lambda: retrieval._nearby(vectors, np.arange(n), K, -2.0)),
    ):
        start = time.process_time()
        graphs.append(make())
        seconds.append((time.process_time() - start) * n / len(rows))  # the exact one is made of the items asked only
    exact, near = (graph[asked] for graph in graphs)
    both = (exact != 0).multiply(near != 0)
    print(
        f"{name:24s} {n:8,d} x {vectors.shape[1]:4d}  exact {seconds[0]:8.1f} s  approximate {seconds[1]:7.1f} s"
        f"  recall@{K} {both.nnz / exact.nnz:.3f}"
        f"  mean cosine {near.sum() / near.nnz:.3f} of {exact.sum() / exact.nnz:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--sizes", default="20000,60000,200000")
    given = parser.parse_args()
    folder = given.folder
    for file in sorted(folder.glob("*.npy")) if folder else []:
        vectors = np.load(file).astype(np.float32)
        measure(file.name, unit(vectors - vectors.mean(axis=0)))
    for n in map(int, given.sizes.split(",")):
        for n_clusters in sorted({200, n // 100}):
            rng = np.random.default_rng(0)
            centers = rng.standard_normal((n_clusters, 64), np.float32)
            noise = rng.standard_normal((n, 64), np.float32)
            measure(f"{n_clusters} clusters", unit(centers[np.arange(n) % n_clusters] + noise))


if __name__ == "__main__":
    main()
