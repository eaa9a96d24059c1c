"""The page of an evaluation: a report and a few users' recommendations."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuserec.atomic import new_file
from fuserec.data.dataset import SetAside
from fuserec.pages.page import Card, card, write_html
from fuserec.recommenders.recommender import Recommender
from fuserec.report import Report
from fuserec.worth import ModalityReport

EVALUATION = "evaluation.json"  # in a model folder; a model that is trained anew there has none
N_REASONS, N_COLORS = 3, 6  # reasons shown of an item, the rest is "other"; colors in the style sheet


@dataclass(frozen=True)
class Example:
    """A user: what he chose last, and what is recommended to him."""

    user: str
    history: Sequence[Card]
    recommended: Sequence[Card]


def examples(model: Recommender, users: Sequence[int], *, k: int = 6) -> list[Example]:
    """A fitted model and user rows → their last k items seen, and the k recommended, with pictures."""
    catalog = model.catalog_
    made = []
    for user in users:
        seen = model.history.of_user(user)[0][-k:]
        recommended = model.recommend(model.users_[user], k)
        made.append(
            Example(
                model.users_[user],
                [card(catalog, int(row)) for row in seen],
                [card(catalog, catalog.ids.row(item.item_id), item.why) for item in recommended],
            )
        )
    return made


def reasons(why: Mapping[str, float]) -> list[tuple[str, float]]:
    """Name → share of a score → the largest of them, and what they leave of 1 as "other"."""
    largest = sorted(why.items(), key=lambda reason: -reason[1])[:N_REASONS]
    rest = 1.0 - sum(share for _, share in largest)
    return [*largest, ("other", rest)] if why and rest >= 0.005 else largest


def colors(shown: Sequence[Example]) -> dict[str, str]:
    """Examples → name of a reason → its class in the style sheet, the same on the whole page.

    Without entries where there are more names than colors: they are items then, and all have one color.
    """
    names = dict.fromkeys(
        name for example in shown for card in example.recommended for name, _ in reasons(card.why) if name != "other"
    )
    known = {name: f"c{place}" for place, name in enumerate(names)} if len(names) <= N_COLORS else {}
    return {**known, "other": "other"}


def write_page(
    path: Path,
    report: Report,
    *,
    worth: ModalityReport | None = None,
    shown: Sequence[Example] = (),
    set_aside: Sequence[SetAside] = (),
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Write the page: the table, what columns are worth, users with pictures, what was set aside, how it was made.

    An earlier page is replaced; raises `ArtifactError` for any other file that is there.
    """
    metric = f"ndcg@{report.k}"
    estimates = {label: found[metric] for label, found in report.estimates.items()}
    gains = [] if worth is None else [worth.gains[column.name]["all"] for column in worth.columns]
    compared_by, compared = report.comparison()
    beyond_by, beyond = report.beyond()
    write_html(
        path,
        "report.html",
        report=report,
        worth=worth,
        reach=max((max(-one.low, one.high) for one in gains), default=0.0) or 1.0,
        compared_by=compared_by,
        compared=compared,
        beyond_by=beyond_by,
        beyond=beyond,
        rows=list(zip(report.models, report.rows(), strict=True)),
        header=report.header(),
        estimates=estimates,
        highest=max(estimate.high or estimate.mean for estimate in estimates.values()) or 1.0,
        shown=shown,
        reasons=reasons,
        colors=colors(shown),
        set_aside=set_aside,
        made_by=made_by or {},
    )


def keep_evaluation(folder: Path, report: Report, worth: ModalityReport | None = None) -> None:
    """Write the numbers of a report into a model folder, where the service's pages show them."""
    told = report.to_dict() | {"caption": report.caption()} | ({"modalities": worth.to_dict()} if worth else {})
    with new_file(folder / EVALUATION) as place:
        place.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
