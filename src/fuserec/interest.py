"""Interest: a fitted model and a user → what he likes, by topic, look and sound, with the items that say so."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import betainc

from fuserec.alignment.clusters import cluster
from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.encoders.text import words
from fuserec.errors import OptionError
from fuserec.recommenders.recommender import Recommender, Rows

KINDS = {"text": "topic", "image": "look", "audio": "sound", "video": "look", "vector": "kind"}
MOST_GROUPS, ITEMS_A_GROUP = 24, 25  # clusters of a column: one for every 25 items, up to 24
LEAST_ITEMS = 3  # of the catalog, for a word to be a group
SHORT, LONG = 3.0, 8.0  # words: of the values of a list (genres, names), and of a text that has topics
REPEATED = 0.3  # share of the values of a list that another item has too
SAME = 0.8  # share of a group's items of the history above which it says what another said
CHANCE = 0.05  # how likely at most one of an aspect's groups stands out where taste is that of the catalog
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
                f"{one.kind} ({one.column}): {one.name}  {one.share:.0%} of the history, {one.base:.1%} of the "
                f"catalog, {one.lift:.1f} times  because of {because}"
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
    """A fitted model → the groups of its items, by words and by vectors, of each column; to be kept for many users."""
    model._check_fitted()
    catalog = model.catalog_
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("items", catalog, Ids([], "user"), Interactions(nobody, nobody), model.embeddings_)
    by_words = [aspect for column in catalog.columns if (aspect := _by_words(catalog, column)) is not None]
    found = list(by_words)
    for name, vectors in dataset.column_vectors.items():
        n = min(MOST_GROUPS, int(vectors.present.sum()) // ITEMS_A_GROUP)
        if n < 2 or (vectors.modality == "text" and not _is_long(catalog, name)):
            continue
        groups = cluster(dataset, name, n_clusters=n, seed=seed)
        here = np.flatnonzero(groups.labels >= 0)
        members = csr_matrix(
            (np.ones(len(here), np.float32), (groups.labels[here], here)), shape=(len(groups), catalog.n_items)
        )
        names = _named(members, by_words)
        found.append(Aspect(name, KINDS[vectors.modality], names, groups.typical, members, vectors.present))
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

    A group of items stands out where its share of the history is above its share of the catalog (the base rate) by more
    than chance does (binomial test, 5 % over the groups of an aspect). An item weighs by half for every `half_life`
    items that came after it, and by where the model's score ranks it in the history, from 0.5 to 1.5.
    aspects: of `aspects_of(model)`, else made here. n: likings an aspect.
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
        below, level = scores[:, None] > scores, scores[:, None] == scores
        weights = weights * (0.5 + below.mean(axis=1) + level.mean(axis=1) / 2)
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
    """A text column → groups of the items that share a word, or a value where the texts are lists (genres, names)."""
    column = catalog.columns[name]
    if column.modality != "text":
        return None
    of_item = _listed(column)
    if of_item is None:
        of_item = [set(telling(value or "")) for value in column.values]
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


def _listed(column: Column) -> list[set[str]] | None:
    """A text column → the values of each item where the texts are lists of short values that return, else None."""
    of_item = [{part for part in LIST.split(value or "") if part} for value in column.values]
    count = Counter(value for own in of_item for value in own)
    again = sum(n for n in count.values() if n > 1)
    short = np.mean([len(value.split()) for value in count] or [0]) <= SHORT
    return of_item if short and again >= REPEATED * max(count.total(), 1) else None


def _is_long(catalog: Catalog, name: str) -> bool:
    """Whether vectors are of texts long enough to have topics, and no lists; given vectors are taken to be."""
    if name not in catalog.columns:
        return True
    column = catalog.columns[name]
    texts = [value for value in column.values if value]
    return _listed(column) is None and float(np.mean([len(words(value)) for value in texts] or [0])) >= LONG


def _named(members: csr_matrix, by_words: Sequence[Aspect], n_words: int = 3) -> tuple[str, ...]:
    """Groups (n_groups, n_items) → the words that are the most above their base rate in each, and not rare there."""
    names: list[list[tuple[float, str]]] = [[] for _ in range(members.shape[0])]
    for aspect in by_words:
        n = members @ aspect.known.astype(np.float32)  # (n_groups,), of its items those that have the column
        base = (np.asarray(aspect.members.sum(axis=1)).ravel() / aspect.known.sum())[:, None]  # (n_words, 1)
        both = (aspect.members @ members.T).toarray()  # (n_words, n_groups)
        sure = (both - n * base) / np.sqrt(n * base * (1.0 - base) + 1e-9)
        sure[both < np.maximum(2, n / 10)] = 0.0
        for group, own in enumerate(names):
            best = np.argsort(-sure[:, group], kind="stable")[:n_words]
            own += [(float(sure[word, group]), aspect.names[word]) for word in best if sure[word, group] > 0]
    chosen = [list(dict.fromkeys(word for _, word in sorted(own, key=lambda one: -one[0]))) for own in names]
    return tuple(", ".join(own[:n_words]) or f"group {group + 1}" for group, own in enumerate(chosen))


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
    # How likely such a share is by chance, drawing from the catalog: the binomial tail, for real numbers.
    chance = betainc(np.maximum(share * n_worth, 1e-9), n_worth * (1.0 - share) + 1.0, base)
    lift = (share * n_worth + PRIOR * base) / ((n_worth + PRIOR) * base)
    support = members.getnnz(axis=1)
    found: list[Liking] = []
    taken: list[set[int]] = []
    ids = model.catalog_.ids
    least = 3 if len(read) >= 10 else 2  # of one item, or of two in a long history, no more than chance is told
    for group in np.argsort(chance, kind="stable"):
        if len(found) == n or chance[group] * len(chance) > CHANCE:  # Bonferroni: many words are tried
            break
        own = members[[group]].indices
        if support[group] < least or any(len(one & set(own)) > SAME * len(own) for one in taken):
            continue  # the same items say the same again
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
