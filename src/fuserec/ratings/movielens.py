"""The benchmark movielens-ratings: MovieLens-100K, canonical folds u1 to u5, root mean squared error.

In each fold models are chosen without its test part: half of the ratings of half of the training users are held out,
the model with the lowest error there is chosen, and all are fitted again on the whole training part. (A few ratings of
everybody would be easier to predict than those of the test part, whose users have lost many.)
"""

import contextlib
import io
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fuserec import registry
from fuserec.data.dataset import Dataset, Split
from fuserec.data.interactions import Interactions
from fuserec.encoders.encoder import encode
from fuserec.errors import DataError, OptionError
from fuserec.evaluation import open_test
from fuserec.ratings.evaluation import measured, report_of, result
from fuserec.ratings.predictor import RatingPredictor, hold_out_ratings, rating_matrix
from fuserec.ratings.report import FEW, RatingReport, RatingResult
from fuserec.recommenders.recommender import OnProgress

FOLDS = ("u1", "u2", "u3", "u4", "u5")
COLUMNS = ("genres",)  # plots, casts and directors as well gained nothing on held-out ratings (docs/benchmarks.md)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Biases": ("Biases", {}),
    "NeighborRatings": ("NeighborRatings", {}),
    "ContentRatings": ("ContentRatings", {"by": "genres"}),
    "FactorRatings": ("FactorRatings", {}),
    "BayesianFactors without content": ("BayesianFactors", {"columns": ()}),
    "BayesianFactors": ("BayesianFactors", {}),
}
PEER = "myFM (peer)"  # shown, never chosen


def movielens_ratings(
    folder: Path,
    recipe: object = None,
    *,
    seeds: int = 1,
    on_progress: OnProgress | None = None,
    folds: Sequence[str] = FOLDS,
    models: Mapping[str, tuple[str, dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """The files of GroupLens → the result as JSON; see `docs/architecture.md`.

    models: label → name and options, default: `MODELS`. Where the package myfm is installed, it runs beside them.
    Raises `OptionError` for a recipe or several seeds: the protocol has none.
    """
    if recipe is not None or seeds != 1:
        raise OptionError("movielens-ratings takes no --recipe, and its intervals are over users: leave out --seeds")
    tell = on_progress or (lambda name, done, total: None)
    everything = _encoded(folder)
    reports = {}
    for done, fold in enumerate(folds):
        tell(f"fold {fold}", done, len(folds))
        reports[fold] = _measured_fold(everything, folder, fold, models or MODELS, tell)
    return summary(reports)


def summary(reports: Mapping[str, RatingReport]) -> dict[str, Any]:
    """Fold → report → one JSON object: what was chosen in each fold, and every model's numbers in every fold."""
    first = next(iter(reports.values()))
    whole = RatingReport.pool(list(reports.values()))
    rows = []
    for model in first.models:
        numbers = {fold: _numbers(report, model.label) for fold, report in reports.items()}
        rows.append({"label": model.label, "name": model.name, "options": dict(model.options), **_with_means(numbers)})
    chosen = {fold: {"label": report.chosen, **_numbers(report, report.chosen)} for fold, report in reports.items()}
    labels = sorted({report.chosen for report in reports.values()})
    label = labels[0] if len(labels) == 1 else "several"
    differences = {} if label == "several" else {"all": whole.compare(label)}
    if differences and whole.few.any():
        differences["few"] = whole.compare(label, few=True)
    return {
        "benchmark": "movielens-ratings",
        "dataset": dict(first.dataset),
        "selection": "validation",
        "selected_by": "rmse",
        "scale": first.to_dict()["scale"],
        "few": f"items with fewer than {FEW} training ratings",
        "chosen": {"label": label, **_with_means(chosen)},
        "folds": chosen,
        "mean_rmse": _with_means(chosen)["mean_rmse"],
        "models": rows,
        "comparisons": [
            {"label": label, "other": other, "metric": "rmse", "on": on, **found._asdict()}
            for on, compared in differences.items()
            for other, found in compared.items()
        ],
        "test_opened": max(report.test_opened for report in reports.values()),
    }


def ratings_table(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The result → header and cells of a table."""
    folds = list(found["folds"])
    header = ["", "model", *folds, "mean RMSE", "MAE", "few", "fit s"]
    rows = []
    for row in found["models"]:
        each = row["folds"].values()
        mean = {key: float(np.mean([one[key] for one in each])) for key in ("mae", "fit_seconds")}
        few = [one["few_rmse"] for one in each if one["few_rmse"] is not None]
        numbers = [f"{row['folds'][fold]['rmse']:.4f}" for fold in folds]
        mark = "●" if row["label"] == found["chosen"]["label"] else ""
        means = [f"{row['mean_rmse']:.4f}", f"{mean['mae']:.4f}", f"{np.mean(few):.4f}" if few else "-"]
        rows.append([mark, row["label"], *numbers, *means, f"{mean['fit_seconds']:.1f}"])
    return header, rows


def caption(found: Mapping[str, Any]) -> list[str]:
    """The result → what the numbers are, and the chosen model against the others."""
    each = found["folds"].values()
    told = [
        f"RMSE on the test parts of {', '.join(found['folds'])}; {sum(one['n_ratings'] for one in each):,} ratings, "
        f"few: {found['few']}, {sum(one['n_few'] for one in each):,} of them. ● chosen in every fold without its test "
        "part. s: wall time of the fit on the whole training part."
    ]
    for one in found["comparisons"]:
        on = "all ratings" if one["on"] == "all" else "items with few ratings"
        told.append(
            f"{one['label']} against {one['other']}, {on}: RMSE lower by {one['mean']:.4f} "
            f"[{one['low']:.4f}, {one['high']:.4f}], n = {one['n']} users, p = {one['p']:.4f} (Holm)"
        )
    return told


def _with_means(folds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"folds": dict(folds), "mean_rmse": float(np.mean([one["rmse"] for one in folds.values()]))}


def _numbers(report: RatingReport, label: str) -> dict[str, Any]:
    model, found, few = report.model(label), report.estimates[label], report.few_estimates[label]
    return {
        "rmse": found["rmse"].mean,
        "rmse_low": found["rmse"].low,
        "rmse_high": found["rmse"].high,
        **{name: found[name].mean for name in ("mae", "accuracy", "auc", "log_loss")},
        "few_rmse": few["rmse"].mean if few else None,
        "n_users": found["rmse"].n,
        "n_ratings": len(report.ratings),
        "n_few": int(report.few.sum()),
        "validation": model.validation,
        "fit_seconds": model.fit_seconds,
        "cpu_seconds": model.cpu_seconds,
    }


def _encoded(folder: Path) -> Dataset:
    """The films with the vectors of `COLUMNS`; what users did is read fold by fold."""
    from fuserec.sources.movielens import read_movielens

    dataset = read_movielens(folder)
    catalog = replace(dataset.catalog, columns={name: dataset.catalog.columns[name] for name in COLUMNS})
    # Chosen on u1.base, and the same whatever extras are installed.
    return encode(replace(dataset, catalog=catalog), {"text": registry.make("encoder", "TfidfText")})


def _part(everything: Dataset, file: Path) -> Dataset:
    if not file.is_file():
        raise DataError(f"no file {file}; expected u1.base, u1.test, ... of ml-100k beside u.data")
    rows = np.loadtxt(file, dtype=np.int64, ndmin=2)  # user, item, rating, unix seconds
    users, items = (
        index.rows(map(str, rows[:, c])) for c, index in ((0, everything.users), (1, everything.catalog.ids))
    )
    return replace(everything, interactions=Interactions(users, items, rows[:, 2].astype(np.float32), rows[:, 3]))


def _measured_fold(
    everything: Dataset, folder: Path, fold: str, models: Mapping[str, tuple[str, dict[str, Any]]], tell: OnProgress
) -> RatingReport:
    base, test = (_part(everything, folder / f"{fold}.{end}") for end in ("base", "test"))
    part, held = hold_out_ratings(base, seed=0)
    fitted: list[tuple[str, RatingPredictor, float, float, float]] = []
    for label, (name, options) in models.items():
        tell(f"{fold}: choosing, {label}", 0, 1)
        validation = measured(registry.make("rater", name, options).fit(part), held)
        tell(f"{fold}: {label}", 0, 1)
        start, cpu = time.perf_counter(), time.process_time()
        model = registry.make("rater", name, options).fit(base)
        fitted.append((label, model, validation, time.perf_counter() - start, time.process_time() - cpu))
    split = Split(part, held, test, f"given, {fold}")
    opened, n_opened = open_test(split)
    results = [
        result(label, model, opened, validation, fit_seconds=seconds, cpu_seconds=cpu)
        for label, model, validation, seconds, cpu in fitted
    ]
    first = fitted[0][1]
    results += _peer(folder, base, opened, first)
    return report_of(split, base, opened, first, results, test_opened=n_opened)


def _peer(folder: Path, base: Dataset, test: Dataset, floor: RatingPredictor) -> list[RatingResult]:
    """MyFM (ids, who rated what both ways, genres, demographics; rank 10, 200 sweeps); none where not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import myfm
    except ImportError:
        return []
    from scipy import sparse
    from scipy.special import ndtr

    known = rating_matrix(base, np.ones(len(base.interactions), np.float32))
    of_user = [sparse.eye(base.n_users), _length_one(known), _demographics(folder, base)]
    of_item = [sparse.eye(base.n_items), _length_one(known.T.tocsr()), base.embeddings["genres"].vectors]
    sizes = [block.shape[1] for block in (*of_user, *of_item)]
    tables = [sparse.hstack(blocks).tocsr() for blocks in (of_user, of_item)]

    def relations(rows: Interactions) -> list[Any]:
        used = [np.unique(column, return_inverse=True) for column in (rows.users, rows.items)]
        return [myfm.RelationBlock(place, table[some]) for table, (some, place) in zip(tables, used, strict=True)]

    rows, sought = base.interactions, test.interactions
    assert rows.ratings is not None
    start, cpu = time.perf_counter(), time.process_time()
    model = myfm.MyFMRegressor(rank=10, random_seed=0)
    with contextlib.redirect_stderr(io.StringIO()):
        model.fit(None, rows.ratings, relations(rows), n_iter=200, n_kept_samples=180, group_shapes=sizes)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        raw = model.predict(None, relations(sought))
    predicted = np.clip(raw, floor.scale_[0], floor.scale_[1]).astype(np.float32)
    limit = floor.like_from_ - floor.scale_[2] / 2
    return [
        RatingResult(
            label=PEER,
            name="MyFMRegressor",
            options={"rank": 10, "sweeps": 200},
            predicted=predicted,
            chance=np.asarray(ndtr((predicted - limit) / 0.9), np.float32),
            validation=None,
            fit_seconds=seconds,
            predict_seconds=0.0,
            cpu_seconds=cpu,
        )
    ]


def _length_one(seen: Any) -> Any:
    from scipy.sparse import diags

    return (diags(1.0 / np.sqrt(np.maximum(np.diff(seen.indptr), 1.0))) @ seen).tocsr()


def _demographics(folder: Path, base: Dataset) -> NDArray[np.float32]:
    """`u.user` → ones for decade of age, sex and occupation, float32 (n_users, w)."""
    columns = ["user", "age", "sex", "occupation", "zip"]
    frame = pl.read_csv(folder / "u.user", separator="|", has_header=False, new_columns=columns)
    frame = frame.select("user", pl.col("age") // 10, "sex", "occupation").to_dummies(["age", "sex", "occupation"])
    values = np.zeros((base.n_users, frame.width - 1), np.float32)
    values[base.users.rows(map(str, frame["user"]))] = frame.drop("user").to_numpy()
    return values
