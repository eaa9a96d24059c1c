"""Benchmarks: public protocols, followed exactly. Validation chooses the model; the test part is opened once.

A benchmark is a function `(folder, recipe, seeds=, on_progress=)` that gives a report, or rows of a table.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fuserec.data.dataset import Split
from fuserec.data.interactions import Interactions
from fuserec.evaluation import evaluate, fit_and_validate, rank_and_measure
from fuserec.preparation.split import split_given
from fuserec.recipe import Recipe
from fuserec.recommenders.recommender import OnProgress, Recommender
from fuserec.report import Report
from fuserec.sources.mmrec import read_mmrec

K = 20  # the published numbers of TikTok are Recall@20 and NDCG@20
# Options were chosen on validation. Short video: behavior follows popularity, so that walks are long, and items that
# nobody chose may learn to be ranked last. The floor stands beside what should beat it.
WALK = {"name": "RandomWalk", "hops": 3}
CONTENT = {"name": "ContentWalk", "hops": 3, "discount": 0.0, "content": 0.1, "fade": 1.0, "neighbors": 10}
GRAPH = {"name": "LightGCN", "epochs": 20, "sampling": "all", "content": 1.0}
DROPPING = {"name": "FREEDOM", "epochs": 25, "sampling": "all", "layers": 2, "drop": 0.62, "like": 0.0}


def _flagship(walk: dict[str, Any]) -> dict[str, Any]:
    """Four seeds of a graph model and a little of a walk, which alone ranks items that nobody chose."""
    seeds = {"name": "Seeds", "model": DROPPING, "seeds": 4, "workers": 2}
    weights = {"method": "weighted", "weights": [1.0, 0.05], "cold_weights": [0.0, 1.0]}
    return {"name": "LateFusion", "models": [seeds, walk], **weights}


TIKTOK = Recipe.parse(
    {
        "align": "none",
        "models": [
            "Popular",
            "ItemNeighbors",
            {"name": "EASE", "l2": 50.0},
            {"name": "RandomWalk", "hops": 1},
            WALK,
            CONTENT,
            GRAPH,
            _flagship(CONTENT),
            _flagship(WALK),  # the same without content
        ],
    }
)


def tiktok(
    folder: Path, recipe: Recipe | None = None, *, seeds: int = 5, on_progress: OnProgress | None = None
) -> Report:
    """The TikTok files of MMRec → the report: all 6,710 items ranked, the given split, Recall@20 and NDCG@20.

    recipe: fusion and models to compare, default: `TIKTOK`. seeds: of every model that has one.
    """
    plan = recipe or TIKTOK
    parts = _given(folder, plan)
    return evaluate(plan.models_for(parts.train), parts, k=K, seeds=seeds, on_progress=on_progress)


def speed(
    folder: Path, recipe: Recipe | None = None, *, seeds: int = 1, on_progress: OnProgress | None = None
) -> list[dict[str, Any]]:
    """The same files → a row a model: seconds to fit, to rank and measure, memory, ndcg@20 on validation.

    Test stays shut: ranked and measured are lists of its users against items drawn in place of those they chose.
    """
    plan = recipe or TIKTOK
    parts = _given(folder, plan)
    users = parts.test.seen.getnnz(axis=1).nonzero()[0]
    drawn = np.random.default_rng(0).integers(0, parts.test.n_items, len(users))
    stand_in = replace(parts.test, interactions=Interactions(users, drawn))
    rows = []
    others: list[Recommender] = []
    for label, model in plan.models_for(parts.train).items():
        found = fit_and_validate(
            model, parts.train, parts.validation, k=K, seeds=seeds, others=others, on_progress=on_progress
        )
        others += found.models
        start = time.perf_counter()
        rank_and_measure(found.models[0], stand_in, K)
        rows.append(
            {
                "label": label,
                "name": type(model).__name__,
                "options": model.options(),
                "seeds": len(found.models),
                "validation": found.validation,
                "fit_seconds": found.fit_seconds,
                "rank_seconds": time.perf_counter() - start,
                "peak_mb": found.peak_mb,
            }
        )
    return rows


def speed_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Rows of `speed` → header and cells, the quickest first."""
    header = ["model", f"validation ndcg@{K}", "fit s", "rank and measure s", "peak MB", "seeds"]
    return header, [
        [
            row["label"],
            f"{row['validation'] or 0.0:.4f}",
            f"{row['fit_seconds']:.2f}",
            f"{row['rank_seconds']:.2f}",
            f"{row['peak_mb']:.0f}",
            str(row["seeds"]),
        ]
        for row in sorted(rows, key=lambda row: float(row["fit_seconds"]))
    ]


def _given(folder: Path, plan: Recipe) -> Split:
    parts = split_given(plan.cleaned(read_mmrec(folder)))
    return parts._replace(train=plan.with_vectors(parts.train, None))
