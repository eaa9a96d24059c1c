"""Rankers that know what items are, beside those that do not: toy shops → ndcg@10 on all and on cold items.

python benchmarks/content_models.py           shops of seeds 0, 1 and 2, 300 items and 200 users each, test part
python benchmarks/content_models.py 10 13     other seeds
"""

import multiprocessing
import sys
import tempfile
from pathlib import Path

from fuserec import make
from fuserec.demo import RECIPE
from fuserec.evaluation import evaluate
from fuserec.report import Report
from fuserec.sources.toy import toy_shop

MODELS = ("Popular", "NeuMF", "LightGCN", "VBPR", "TwoTower", "FREEDOM", "ContentWalk")
AGAINST = "LightGCN"


def measured(seed):
    """A seed → the report of every model on that shop."""
    with tempfile.TemporaryDirectory() as folder:
        split = RECIPE.split.split(RECIPE.cleaned(toy_shop(seed=seed, folder=Path(folder) / "toyshop")))
        train = RECIPE.with_vectors(split.train, cache=None)
    models = {name: make("recommender", name) for name in MODELS}
    return evaluate(models, split._replace(train=train))


def main():
    first, last = map(int, sys.argv[1:] or (0, 3))
    seeds = range(first, last)
    with multiprocessing.get_context("spawn").Pool(len(seeds)) as pool:  # torch and processes that fork do not mix
        report = Report.pool(pool.map(measured, seeds))
    n, n_cold = (rows[AGAINST]["ndcg@10"].n for rows in (report.estimates, report.cold_estimates))
    print(f"toy shops of seeds {first} to {last - 1}, defaults; n = {n} users, {n_cold} of them with a cold item")
    print(f"| model | validation | test ndcg@10 | minus {AGAINST} | cold ndcg@10 |")
    print("|---|---|---|---|---|")
    for model in report.models:
        label = model.label
        print(
            f"| {label} | {model.validation:.4f} | {report.estimates[label]['ndcg@10']} "
            f"| {report.difference(label, AGAINST)} | {report.cold_estimates[label]['ndcg@10']} |"
        )


if __name__ == "__main__":
    main()
