"""Profiles: a fitted model and a user → what he likes, by topic, look and sound, with the items that say so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import betainc

from fuserec.data.catalog import MEDIA, Catalog
from fuserec.errors import OptionError
from fuserec.interest.groups import Aspect, aspects_of, name_of, telling_words
from fuserec.recommenders.multi_interest import MultiInterest
from fuserec.recommenders.recommender import Recommender, Rows

SAME = 0.8  # share of a group's items of the history above which it says what another said
CHANCE = 0.05  # how likely anything of an aspect is told where taste is that of the catalog
LIFT = 1.5  # times its share of the catalog, for a group to be worth telling
PRIOR = 2.0  # items at the base rate that are added to a history, so that a short one says less
RECOMMENDED = 50  # items that the model would recommend, among which shares are told too
N_SHOWN = 5  # items that say so, and typical ones


@dataclass(frozen=True)
class Liking:
    """One thing that a user likes more than the catalog has of it; or one of the vectors of a `MultiInterest`.

    kind: `word`, `topic`, `look`, `sound`, `kind` (see `Aspect`), or `interest`, whose column is `vector 1`, ...
    share: of what he did, 0 to 1, recent items and those that the model would recommend counting more
    base: of the catalog; lift: how many times that, drawn towards 1 for a short history
    recommended: share of the 50 items that the model would recommend
    because: item ids of his history that say so, the strongest first; typical: item ids nearest to the group's center
    (those with pictures or sounds first)
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
    """What a user likes, the surest first in each aspect; titles and columns of media of what is named."""

    query: dict[str, Any]
    n_items: int
    likings: tuple[Liking, ...]
    titles: dict[str, str]
    media: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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

    def shown(self, item: str) -> str:
        """An item's id → its title, with the columns of pictures, sounds and videos that it has."""
        return f"{self.titles[item]} ({', '.join(self.media[item])})" if self.media[item] else self.titles[item]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: `{"query", "n_items", "interests": [{"kind", "column", "name", "share", ..., "because"}]}`."""

        def told(items: Sequence[str]) -> list[dict[str, Any]]:
            return [{"item_id": item, "title": self.titles[item]} for item in items]

        def shown(items: Sequence[str]) -> list[dict[str, Any]]:
            return [one | {"media": list(self.media[one["item_id"]])} for one in told(items)]

        return {
            "query": self.query,
            "n_items": self.n_items,
            "interests": [
                {**vars(one), "because": told(one.because), "typical": shown(one.typical)} for one in self.likings
            ],
        }


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
    aspects = aspects_of(model) if aspects is None else aspects
    likings = _vectors(asked, row, best, aspects) if isinstance(asked, MultiInterest) else []
    for aspect in aspects:
        likings += _likings(aspect, model, read.astype(np.int64), weights, best, n)
    catalog = model.catalog_
    named = sorted({item for one in likings for item in (*one.because, *one.typical)})
    titles = {item: catalog.title(catalog.ids.row(item)) for item in named}
    media = {item: _media(catalog, catalog.ids.row(item)) for item in named}
    return InterestProfile(query, len(read), tuple(likings), titles, media)


def _vectors(model: MultiInterest, user: int, best: Rows, aspects: Sequence[Aspect]) -> list[Liking]:
    """A user's row → the vectors of his interests, each named by words of the items nearest to it.

    A word counts that two of the items of his history have that say so: it is to be true of him, not of the vector.
    """
    catalog, found = model.catalog_, model.interests_of(user, N_SHOWN, named=False)
    names = [one for one in aspects if one.kind == "word"] or [one for one in aspects if one.kind == "topic"]
    rows = np.repeat(np.arange(len(found)), [len(one.nearest) for one in found])
    cols = np.concatenate([one.nearest for one in found])
    near = csr_matrix((np.ones(len(cols), np.float32), (rows, cols)), shape=(len(found), catalog.n_items))
    told = [
        [word for word in words if np.isin(one.because, word.items).sum() >= min(2, len(one.because))]
        for one, words in zip(found, telling_words(near, names, CHANCE), strict=True)
    ]
    return [
        Liking(
            column=f"vector {place + 1}",
            kind="interest",
            name=name_of(told[place]) or f"like {catalog.title(one.nearest[0])}",
            share=one.share,
            base=one.base,
            lift=one.share / one.base if one.base else float("inf"),
            recommended=float(np.mean(one.of[best])) if len(best) else 0.0,
            because=tuple(catalog.ids[row] for row in one.because),
            typical=tuple(catalog.ids[row] for row in _shown(catalog, one.nearest)),
        )
        for place, one in enumerate(found)
    ]


def _media(catalog: Catalog, row: int) -> tuple[str, ...]:
    """An item's row → the columns of pictures, sounds and videos that it has."""
    return tuple(name for name, one in catalog.columns.items() if one.modality in MEDIA and one.present[row])


def _shown(catalog: Catalog, typical: Sequence[int]) -> list[int]:
    """Rows of typical items, the most typical first → the five to show: of these, those with media first."""
    return sorted(typical, key=lambda row: not _media(catalog, row))[:N_SHOWN]


def _session(model: Recommender, items: Sequence[str]) -> tuple[Recommender | None, int]:
    try:
        return model.for_session(items), 0
    except OptionError:  # it has to be trained for new users; their items speak nevertheless
        return None, 0


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
    order = np.argsort(chance, kind="stable")
    sure = np.flatnonzero(chance[order] * len(chance) <= CHANCE * np.arange(1, len(chance) + 1))  # many are tried
    for group in order[: sure.max(initial=-1) + 1]:
        if len(found) == n:
            break
        own = members[[group]].indices
        if support[group] < least or lift[group] < LIFT or any(len(one & set(own)) > SAME * len(own) for one in taken):
            continue  # the same items say the same again
        taken.append(set(own.tolist()))
        because = read[own[np.argsort(-weights[own], kind="stable")]][:N_SHOWN]
        would = float(np.asarray(aspect.members[[group]][:, best].sum())) / len(best) if len(best) else 0.0
        typical = _shown(model.catalog_, aspect.typical[group])
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
                typical=tuple(ids[row] for row in typical),
            )
        )
    return found
