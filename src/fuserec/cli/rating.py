"""What the command line does with ratings: predict them, and show how far predictions are off."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuserec.cli import console, steps
from fuserec.data.dataset import Split
from fuserec.pages.ratings import write_ratings_page
from fuserec.ratings.evaluation import evaluate_ratings
from fuserec.ratings.predictor import RatingPredictor
from fuserec.ratings.report import RatingReport
from fuserec.recipe import Recipe


def evaluate_and_print(plan: Recipe, parts: Split, report: Path | None, as_json: bool) -> None:
    """A recipe's rating models on a split → the table, or the JSON; and a page, if one is wanted."""
    models = {part.label: part.make("rater") for part in plan.rater_components(parts.train)}
    with console.working("evaluating") as tell:
        found = evaluate_ratings(models, parts, on_progress=tell)
    if report is not None:
        write_ratings_page(report, found, set_aside=parts.train.set_aside, made_by=steps.made_by())
        console.note(f"report: {report.resolve()}")
    steps.print_set_aside(parts.train.set_aside)
    print_ratings(found, as_json)


def print_ratings(report: RatingReport, as_json: bool) -> None:
    """The table with its caption, the comparison and the calibration of the chosen model; or the JSON."""
    if as_json:
        console.print_json(report.to_dict())
        return
    rows = [[row[0][:1].strip(), row[0][2:], *row[1:]] for row in report.rows()]
    console.print_table(["", *report.header()], rows)
    console.say(report.caption())
    header, compared = report.comparison()
    if compared:
        console.say(f"{report.chosen}, paired by user:")
        console.print_table(header, compared)
    told = [[f"{chance:.2f}", f"{liked:.2f}", f"{n:,}"] for chance, liked, n in report.calibration(report.chosen)]
    console.say(f"Calibration of {report.chosen}:")
    console.print_table(["chance of a like", "liked", "ratings"], told)


def predicted(model: RatingPredictor, user: str, items: Sequence[str], explain: bool = False) -> dict[str, Any]:
    """A fitted model, a user id and item ids → the answer as JSON; `known` says whether both were in training.

    explain: `why` of each item, see `RatingPredictor.reasons`
    """
    users = np.repeat(model.users_.rows([user]), len(items))
    rows = model.catalog_.ids.rows(items)
    low, high, step = (float(one) for one in model.scale_)
    return {
        "query": {"user": user, "items": list(items)},
        "scale": {"low": low, "high": high, "step": step, "like_from": model.like_from_},
        "items": [
            {
                "item_id": item,
                "rating": float(rating),
                "like": float(chance),
                "title": model.catalog_.title(int(row)) if row >= 0 else None,
                "known": bool(row >= 0 and users[0] >= 0),
                **({"why": model.reasons(int(users[0]), int(row))} if explain else {}),
            }
            for item, row, rating, chance in zip(
                items, rows, model.predict(users, rows), model.like(users, rows), strict=True
            )
        ],
    }


def print_predictions(answer: dict[str, Any], as_json: bool) -> None:
    """The answer as a table or JSON; what is not known is said."""
    if as_json:
        console.print_json(answer)
        return
    rows = [
        [item["item_id"], item["title"] or "-", f"{item['rating']:.2f}", f"{item['like']:.0%}"]
        for item in answer["items"]
    ]
    console.print_table(["item", "title", "rating", f"chance of {answer['scale']['like_from']:g} or more"], rows)
    for item in answer["items"]:
        if "why" in item:
            points = ", ".join(f"{name} {value:+.2f}" for name, value in item["why"].items())
            console.say(f"{item['item_id']}: {points}, in all {sum(item['why'].values()):.2f}")
    unknown = [item["item_id"] for item in answer["items"] if not item["known"]]
    if unknown:
        console.note(f"not in training, the user or the item, so by biases alone: {', '.join(unknown)}")
