"""Lists: a loaded model and what is left out → the best items, as they are told."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from json import dumps, loads
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.data.recommendations import Recommendations, Recommended
from fuserec.recommenders.reach import best_reached
from fuserec.recommenders.recommender import Recommender, Rows, Scores
from fuserec.serving.loaded import Loaded


@dataclass(frozen=True, eq=False)
class Answer:
    """A list, and what it follows from.

    basis: `history` (what the user did, up to now), `training` (what was known in training) or `popularity`
    unknown_items: ids in the question that the model does not know
    """

    items: Recommendations
    basis: str
    unknown_items: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: that of `Recommendations`, with `basis` and `unknown_items`."""
        return {**self.items.to_dict(), "basis": self.basis, "unknown_items": list(self.unknown_items)}

    @cached_property
    def json(self) -> bytes:
        """The same as bytes, made once."""
        return dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, told: str) -> "Answer":
        """The same the other way. Raises `ValueError`, `KeyError` or `TypeError` for what is no answer."""
        found = loads(told)
        items = Recommendations(found["query"], tuple(Recommended(**item) for item in found["items"]))
        return cls(items, found["basis"], tuple(found["unknown_items"]))


def candidates(loaded: Loaded, left_out: Rows) -> NDArray[np.bool_]:
    """Item rows that are left out, -1 where there is none → bool (n_items,), which items may be recommended."""
    allowed: NDArray[np.bool_] = loaded.allowed.copy()
    allowed[left_out[left_out >= 0]] = False
    return allowed


def ranked(
    loaded: Loaded, model: Recommender, row: int, query: dict[str, Any], left_out: Rows, explain: bool
) -> Recommendations:
    """A model's user by row → the best items that are neither seen nor left out, told for `query["k"]`."""
    best, scores = model.rank(np.array([row]), query["k"], candidates(loaded, left_out))
    kept = best[0] >= 0
    rows, scores = best[0][kept], scores[0][kept]
    return model.listed(query, rows, scores, model.explain(row, rows) if explain else [{}] * len(rows))


def reached(
    loaded: Loaded, model: Recommender, row: int, history: Rows, query: dict[str, Any], left_out: Rows
) -> tuple[Rows, Scores] | None:
    """As `ranked`, item rows and scores, where the model knows which items can be among the best; else None.

    row: of a trained user, or -1; history: item rows of what he did, which are not told again
    """
    left_out = np.concatenate([left_out, history])
    found = model.reach(row, history, query["k"] + len(left_out))
    return None if found is None else best_reached(found, query["k"], loaded.allowed, left_out)


def by_popularity(
    model: Recommender, query: dict[str, Any], rows: Rows, scores: Scores, explain: bool
) -> Recommendations:
    """Item rows and scores (m,) → a list for which nothing but popularity speaks."""
    return model.listed(query, rows, scores, [{"popularity": 1.0} if explain else {}] * len(rows))


def without_removed(loaded: Loaded, found: Recommendations, k: int) -> Recommendations:
    """A list → its k best items that were not removed."""
    row = loaded.model.catalog_.ids.row
    items = tuple(item for item in found.items if loaded.allowed[row(item.item_id)])[:k]
    return replace(found, query={**found.query, "k": k}, items=items)


def shortened(text: str, paths: Iterable[str]) -> str:
    """A text → the same without these paths."""
    for path in paths:
        text = text.replace(path, "the uploaded file")
    return text
