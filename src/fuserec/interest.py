"""Interest: a fitted model and a user → what he likes, by topic, look and sound, with the items that say so."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserec.alignment.clusters import cluster
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.encoders.text import words
from fuserec.errors import OptionError
from fuserec.recommenders.recommender import Recommender, Rows

KINDS = {"text": "topic", "image": "look", "audio": "sound", "video": "look", "vector": "kind"}
MOST_GROUPS, ITEMS_A_GROUP = 24, 25  # clusters of a column: one for every 25 items, up to 24
LEAST_ITEMS = 3  # of the catalog, for a word to be a group
SURE = 2.0  # standard errors by which a share must be above the base rate
PRIOR = 2.0  # items at the base rate that are added to a history, so that a short one says less
RECOMMENDED = 50  # items that the model would recommend, among which shares are told too
LIST = re.compile(r"\s*[,|;，、；]\s*")


@dataclass(frozen=True, eq=False)
class Aspect:
    """Groups of items in one column: those that share a word, or those that look or sound alike.

    kind: `word`, `topic`, `look`, `sound`, or `kind` of vectors without a modality
    members: float32 CSR (n_groups, n_items) of ones; known: bool (n_items,), which items have this column
    """

    column: str
    kind: str
    names: tuple[str, ...]
    typical: tuple[tuple[int, ...], ...]
    members: csr_matrix
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Liking:
    """One thing that a user likes more than the catalog has of it.

    share: of what he did, 0 to 1, recent items and those that the model would recommend counting more
    base: of the catalog; lift: how many times that, drawn towards 1 for a short history
    recommended: share of the 50 items that the model would recommend
    because: item ids of his history that say so, the strongest first; typical: item ids nearest to the group's center
    """

    column: str
    kind: str
    name: str
    share: float
    base: float
    lift: float
    recommended: float
    because: tuple[str, ...]
    typical: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class InterestProfile:
    """What a user likes, the surest first in each aspect, and the titles of the items named."""

    query: dict[str, Any]
    n_items: int
    likings: tuple[Liking, ...]
    titles: dict[str, str]

    def explain(self) -> str:
        """One line a liking: its kind and name, how much more than the catalog, and the items that say so."""
        lines = []
        for one in self.likings:
            because = ", ".join(self.titles[item] for item in one.because[:3])
            lines.append(
                f"{one.kind} ({one.column}): {one.name}  {one.share:.0%} of the history, {one.base:.0%} of the catalog, "
                f"{one.lift:.1f} times  because of {because}"
            )
        return "\n".join(lines) or "nothing stands out: the history is too short, or like the catalog"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: `{"query", "n_items", "interests": [{"kind", "column", "name", "share", ..., "because"}]}`."""

        def told(items: Sequence[str]) -> list[dict[str, str]]:
            return [{"item_id": item, "title": self.titles[item]} for item in items]

        return {
            "query": self.query,
            "n_items": self.n_items,
            "interests": [
                {**vars(one), "because": told(one.because), "typical": told(one.typical)} for one in self.likings
            ],
        }


def aspects_of(model: Recommender, seed: int = 0) -> tuple[Aspect, ...]:
    """A fitted model → the groups of its items, by words and by the vectors of each column; to be kept for many users."""
    model._check_fitted()
    catalog = model.catalog_
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("items", catalog, Ids([], "user"), Interactions(nobody, nobody), model.embeddings_)
    found = [aspect for column in catalog.columns if (aspect := _by_words(catalog, column)) is not None]
    for name, vectors in dataset.column_vectors.items():
        n = min(MOST_GROUPS, int(vectors.present.sum()) // ITEMS_A_GROUP)
        if n < 2:
            continue
        groups = cluster(dataset, name, n_clusters=n, seed=seed, words=telling)
        here = np.flatnonzero(groups.labels >= 0)
        members = csr_matrix(
            (np.ones(len(here), np.float32), (groups.labels[here], here)), shape=(len(groups), catalog.n_items)
        )
        found.append(Aspect(name, KINDS[vectors.modality], groups.names, groups.typical, members, vectors.present))
    return tuple(found)


def interest_profile(
    model: Recommender,
    user: str | None = None,
    *,
    items: Iterable[str] | None = None,
    aspects: Sequence[Aspect] | None = None,
    n: int = 3,
    half_life: float = 100.0,
) -> InterestProfile:
    """A fitted model and a user's id, or the items of a session → what stands out in the history, per aspect.

    A group of items stands out where its share of the history is above its share of the catalog (the base rate) by two
    standard errors. An item weighs by half for every `half_life` items that came after it, and by where the model's
    score ranks it in the history, from 0.5 to 1.5. aspects: of `aspects_of(model)`, else made here. n: likings an aspect.
    Raises `UnknownIdError` for a user or an item that is not in the data.
    """
    model._check_fitted()
    if (user is None) == (items is None):
        raise OptionError("interests of a user, or of the items of a session; expected one of the two")
    if half_life <= 0.0 or n < 1:
        raise OptionError(f"half_life is {half_life} and n is {n}; expected more than 0, and 1 or more")
    query: dict[str, Any] = {"user": user} if items is None else {"items": list(items)}
    row = 0
    if items is None:
        row = model.users_.row(str(user))
        read, _ = model.history.of_user(row)
    else:
        rows = [model.catalog_.ids.row(item) for item in query["items"]]
        read = np.array(list(dict.fromkeys(rows)), np.int64)
    if not len(read):
        return InterestProfile(query, 0, (), {})
    asked, row = (model, row) if items is None else _session(model, query["items"])
    weights = 0.5 ** (np.arange(len(read))[::-1] / half_life)
    best = np.zeros(0, np.int64)
    if asked is not None:
        scores = asked.score(np.array([row]))[0][read]
        weights = weights * (
            0.5 + (scores[:, None] > scores).mean(axis=1) + (scores[:, None] == scores).mean(axis=1) / 2
        )
        best = asked.rank(np.array([row]), RECOMMENDED)[0][0]
        best = best[best >= 0]
    likings: list[Liking] = []
    for aspect in aspects_of(model) if aspects is None else aspects:
        likings += _likings(aspect, model, read.astype(np.int64), weights, best, n)
    named = {item for one in likings for item in (*one.because, *one.typical)}
    titles = {item: model.catalog_.title(model.catalog_.ids.row(item)) for item in sorted(named)}
    return InterestProfile(query, len(read), tuple(likings), titles)


def telling(text: str) -> list[str]:
    """Text → its words that tell something: two letters or more, no number, no English stop word."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [w for w in words(text) if len(w) > 1 and not w.isnumeric() and w not in ENGLISH_STOP_WORDS]


def _session(model: Recommender, items: Sequence[str]) -> tuple[Recommender | None, int]:
    try:
        return model.for_session(items), 0
    except OptionError:  # it has to be trained for new users; their items speak nevertheless
        return None, 0


def _by_words(catalog: Catalog, name: str) -> Aspect | None:
    """A text column → groups of the items that share a word, or a value where the texts are lists of short ones."""
    column = catalog.columns[name]
    if column.modality != "text":
        return None
    parts = [[part for part in LIST.split(value or "") if part] for value in column.values]
    n_words = [len(part.split()) for own in parts for part in own]
    lists = bool(n_words) and np.mean(n_words) <= 3.0 and max(map(len, parts)) > 1
    of_item = [
        set(own) if lists else set(telling(value or "")) for own, value in zip(parts, column.values, strict=True)
    ]
    count = Counter(word for own in of_item for word in own)
    usual = column.present.sum() / 2
    kept = sorted(word for word, n in count.items() if LEAST_ITEMS <= n <= usual)
    if not kept:
        return None
    group = {word: place for place, word in enumerate(kept)}
    pairs = [(group[word], row) for row, own in enumerate(of_item) for word in own if word in group]
    rows, cols = np.array(pairs).T
    members = csr_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=(len(kept), catalog.n_items))
    return Aspect(name, "word", tuple(kept), ((),) * len(kept), members, column.present)


def _likings(
    aspect: Aspect, model: Recommender, read: Rows, weights: NDArray[np.float64], best: Rows, n: int
) -> list[Liking]:
    """An aspect, the items of a history and what each weighs → the groups that stand out, the surest first."""
    has = aspect.known[read]
    read, weights = read[has], weights[has]
    if not len(read):
        return []
    members = aspect.members[:, read]  # (n_groups, n)
    share = members @ weights / weights.sum()
    base = np.asarray(aspect.members.sum(axis=1)).ravel() / aspect.known.sum()
    n_worth = weights.sum() ** 2 / (weights**2).sum()  # so many items of equal weight (Kish 1965)
    sure = (share - base) / np.sqrt(base * (1.0 - base) / n_worth + 1e-12)
    lift = (share * n_worth + PRIOR * base) / ((n_worth + PRIOR) * base)
    support = members.getnnz(axis=1)
    found: list[Liking] = []
    taken: list[set[int]] = []
    ids = model.catalog_.ids
    for group in np.argsort(-sure, kind="stable"):
        if len(found) == n or sure[group] < SURE:
            break
        own = members[[group]].indices
        if support[group] < 2 or any(2 * len(one & set(own)) > len(own) for one in taken):
            continue  # one item says nothing, and the same items say the same again
        taken.append(set(own.tolist()))
        because = read[own[np.argsort(-weights[own], kind="stable")]][:5]
        would = float(np.asarray(aspect.members[[group]][:, best].sum())) / len(best) if len(best) else 0.0
        found.append(
            Liking(
                column=aspect.column,
                kind=aspect.kind,
                name=aspect.names[group],
                share=float(share[group]),
                base=float(base[group]),
                lift=float(lift[group]),
                recommended=would,
                because=tuple(ids[row] for row in because),
                typical=tuple(ids[row] for row in aspect.typical[group]),
            )
        )
    return found
