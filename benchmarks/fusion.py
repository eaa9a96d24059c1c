"""What each way to fuse is worth: toy shops with planted private tastes → a table of ndcg@10 of ContentNeighbors.

Late fusion joins the scores of one ContentNeighbors a column.

python benchmarks/fusion.py            test part of seeds 0 to 9, 300 items and 200 users each; some minutes
python benchmarks/fusion.py 20 25      seeds 20 to 24: those on whose validation part the options were chosen
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fuserec import fuse, make, registry
from fuserec.demo import RECIPE
from fuserec.evaluation import evaluate
from fuserec.report import Report
from fuserec.sources.toy import toy_shop


def measured(seed):
    """A seed → the report of every single column and every fuser on that shop, and the seconds each fit took."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        split = RECIPE.split.split(RECIPE.cleaned(toy_shop(seed=seed, folder=Path(folder) / "toyshop")))
        train = RECIPE.with_vectors(split.train, cache=None)
    columns = [name for name, embeddings in train.embeddings.items() if not embeddings.parts]
    for name in registry.components("fuser"):
        started = time.process_time()
        train = fuse(train, make("fuser", name), columns=columns, name=name)
        seconds[name] = time.process_time() - started
    models = {name: make("recommender", "ContentNeighbors", {"by": name}) for name in (*columns, *seconds)}
    alone = tuple({"name": "ContentNeighbors", "by": column} for column in columns)
    for method in ("rrf", "combsum", "combmnz", "weighted"):
        models[f"late {method}"] = make("recommender", "LateFusion", {"models": alone, "method": method})
    models |= {name: make("recommender", name) for name in ("Popular", "EASE")}
    return evaluate(models, split._replace(train=train)), columns, seconds


def main():
    first, last = map(int, sys.argv[1:] or (0, 10))
    runs = [measured(seed) for seed in range(first, last)]
    report = Report.pool([run[0] for run in runs])
    columns = runs[0][1]
    of_seed = [{m.label: m.values["ndcg@10"].mean() for m in run[0].models} for run in runs]
    print(f"toy shops of seeds {first} to {last - 1}; intervals: paired bootstrap over all users")
    print(
        "| vectors | validation | test ndcg@10 | cold ndcg@10 | minus Concat | better than best single | CPU s to fit |"
    )
    print("|---|---|---|---|---|---|---|")
    for model in report.models:
        label = model.label
        wins = sum(seed[label] > max(seed[column] for column in columns) for seed in of_seed)
        fit = np.mean([run[2].get(label, 0.0) for run in runs])
        cold = report.cold_estimates[label].get("ndcg@10", "")
        print(
            f"| {label} | {model.validation:.4f} | {report.estimates[label]['ndcg@10']} | {cold} "
            f"| {report.difference(label, 'Concat')} | {wins} of {len(runs)} | {fit:.2f} |"
        )
    n = report.estimates["Concat"]["ndcg@10"].n
    print(f"n = {n} users with something to find")


if __name__ == "__main__":
    main()
