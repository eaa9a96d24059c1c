"""Models that see what items are, on the validation part: a table of ndcg for all items and for those nobody chose.

Learned models stop by the same validation part, one seed each, so their numbers are a little too good.

python benchmarks/content_models.py toy
python benchmarks/content_models.py movielens ../shared/data/movielens-100k
python benchmarks/content_models.py tiktok ../shared/data/tiktok
"""

import sys
import tempfile
import time
from pathlib import Path

from fuserec import VectorCache, fuse, make, read_mmrec, read_movielens, split_given, toy_shop
from fuserec.demo import RECIPE
from fuserec.evaluation import rank_and_measure

MODELS = {
    "Popular": ("Popular", {}),
    "ContentNeighbors": ("ContentNeighbors", {}),
    "ContentWalk": ("ContentWalk", {}),
    "BPR, no content": ("BPR", {}),
    "VBPR": ("VBPR", {}),
    "TwoTower, in-batch": ("TwoTower", {}),
    "TwoTower, uniform": ("TwoTower", {"sampling": "uniform"}),
}


def prepared(dataset, cache):
    split = RECIPE.split.split(RECIPE.cleaned(dataset))
    with VectorCache(cache) as vectors:
        return split._replace(train=RECIPE.with_vectors(split.train, vectors))


def print_table(split, k):
    print(f"| model | ndcg@{k} | recall@{k} | n | cold ndcg@{k} | n | seconds to fit |")
    print("|---|---|---|---|---|---|---|")
    for label, (name, options) in MODELS.items():
        started = time.perf_counter()
        model = make("recommender", name, options).fit(split.train, split.validation)
        seconds = time.perf_counter() - started
        lists = rank_and_measure(model, split.validation, k)
        cold = rank_and_measure(model, split.validation, k, ~split.train.warm)
        ndcg, recall = (lists.values[f"{metric}@{k}"].mean() for metric in ("ndcg", "recall"))
        of_cold = cold.values[f"ndcg@{k}"].mean()
        print(
            f"| {label} | {ndcg:.4f} | {recall:.4f} | {len(lists.users)} | {of_cold:.3f} | {len(cold.users)} "
            f"| {seconds:.1f} |",
            flush=True,
        )


def main():
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if sys.argv[1] == "toy":
            for seed in range(2):
                print(f"toy shop of seed {seed}")
                shop = toy_shop(300, 200, seed, folder=folder / f"shop-{seed}")
                print_table(prepared(shop, folder / f"{seed}.sqlite"), 10)
        elif sys.argv[1] == "movielens":
            print_table(prepared(read_movielens(Path(sys.argv[2])), folder / "movielens.sqlite"), 10)
        else:
            split = split_given(read_mmrec(Path(sys.argv[2])))
            print_table(split._replace(train=fuse(split.train)), 20)


if __name__ == "__main__":
    main()
