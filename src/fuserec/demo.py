"""The demonstration: toy shops with planted tastes → one report over several seeds, and what to conclude from it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fuserec.data.dataset import Dataset
from fuserec.encoders.cache import VectorCache
from fuserec.evaluation import evaluate
from fuserec.modalities import content_model, examine
from fuserec.recipe import Recipe
from fuserec.recommenders.recommender import Recommender
from fuserec.report import Report
from fuserec.sources.toy import toy_shop
from fuserec.worth import ModalityReport

RECIPE = Recipe.parse({"encoders": {"text": "TfidfText", "image": "ColorTexture", "audio": "MFCC"}})
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Demo:
    """The pooled report, what columns are worth, and, of the first shop, the dataset and the chosen model."""

    report: Report
    worth: ModalityReport
    shop: Dataset
    model: Recommender


def run_demo(
    folder: Path, *, n_items: int = 300, n_users: int = 200, seeds: int = 5, on_progress: OnProgress | None = None
) -> Demo:
    """Render shops with seeds 0 .. seeds-1 (the first into `folder`), evaluate every model on each, pool the users."""
    tell = on_progress or (lambda what, done, total: None)
    reports, shops = [], []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as elsewhere:
            place = folder if seed == 0 else Path(elsewhere) / "toyshop"
            tell("toy shops, rendered and evaluated", seed, seeds)
            shop = RECIPE.cleaned(toy_shop(n_items, n_users, seed, folder=place))
            split = RECIPE.split.split(shop)
            with VectorCache(place / ".fuserec" / "vectors.sqlite") as cache:
                split = split._replace(train=RECIPE.with_vectors(split.train, cache))
            models = RECIPE.models_for(split.train)
            reports.append(evaluate(models, split))
            shops.append((models, split))
    report = Report.pool(reports)
    models, split = shops[0]
    label = content_model(models, split, report)
    each = []
    for seed, (known, parts) in enumerate(shops):
        tell("what each column is worth", seed, seeds)
        each.append(examine(known[label], parts, label=label, k=report.k, select_by=report.select_by))
    tell("what each column is worth", seeds, seeds)
    notes = conclusions(report)
    return Demo(replace(report, notes=notes), ModalityReport.pool(each), split.train, models[report.chosen])


def conclusions(report: Report) -> tuple[str, ...]:
    """A demo report → sentences: what all columns together are worth, against the best single one and popularity."""
    together, alone = "ContentNeighbors(by=fused)", "ContentNeighbors(by="
    singles = [model for model in report.models if model.label.startswith(alone) and model.label != together]
    single = max(singles, key=lambda model: model.validation or 0.0).label  # the best on validation, not on test
    pairs = ((together, single), (together, "Popular"), ("ContentWalk", single), ("ContentWalk", "RandomWalk"))
    return tuple(_sentence(report, label, other) for label, other in pairs)


def _sentence(report: Report, label: str, other: str) -> str:
    gained = report.difference(label, other)
    low, high = gained.low or 0.0, gained.high or 0.0
    verb = "beats" if low > 0 else "loses to" if high < 0 else "cannot be told from"
    metric = f"{report.select_by}@{report.k}"
    return f"{label} {verb} {other}: {gained.mean:+.4f} {metric}, 95 % interval [{low:+.4f}, {high:+.4f}]."
