"""Re-ranking: a model's best items → lists that are less alike, less known, within caps, and as the owner says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec import registry
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import unit
from fuserec.errors import DataError, OptionError, did_you_mean
from fuserec.recommenders.ensemble import EVERYWHERE, Combination, name_and_options
from fuserec.recommenders.recommender import OnProgress, Recommender, Rows, Scores
from fuserec.retrieval import block_rows, top_k

FIRST = 1e6  # what the first pinned item is worth: more than any other


@dataclass(kw_only=True, eq=False)
class Reranked(Combination):
    """A model whose lists are made anew from its best items, one place after another.

    A place goes to the item with the most of

        (1 - diversity) * (relevance + novelty * unknown + boost) - diversity * likeness

    relevance  the model's score: 1 for the best of the user's pool, 0 for the last
    unknown    -log2 of the share of users who chose the item (Zhou 2010, eq. 3), 1 for an item that one user chose
    likeness   the largest cosine to an item placed before (maximal marginal relevance: Carbonell and Goldstein 1998)

    Scores that are told are those of the model. Every rule is off unless given.

    worth_: float32 (n_items,), novelty * unknown + boost
    center_: float32 (dim,), the mean of the vectors, or of length 0 where there are none
    groups_: int64 (n_items, most values of an item), the values in `cap_column`, numbered from 1; 0: none
    first_: int64 rows of pinned and then of boosted items, which are in every pool
    excluded_: int64 rows of excluded items
    """

    model: str | Mapping[str, Any] = "ContentWalk"  # name, or {name, options ...}
    diversity: float = field(default=0.0, metadata={"space": (0.0, 0.9)})  # 0 to below 1; 0.3 is a start
    novelty: float = 0.0  # 0 or more
    pool: int = 10  # how many times k items are looked at
    by: str = "fused"  # vectors by which items are alike
    cap_column: str = ""  # a text column, of one value or several with | , or ; between them
    cap: int = 3  # items that one value of it may have in a list
    exclude: tuple[str, ...] = ()  # item ids that are never recommended
    pin: tuple[str, ...] = ()  # item ids that come first, in this order, unless the user has seen them
    boost: Mapping[str, float] = field(default_factory=dict)  # item id → added to its relevance

    def __post_init__(self) -> None:
        if not 0.0 <= self.diversity < 1.0:
            raise OptionError(f"Reranked: diversity is {self.diversity}; expected 0 to below 1")
        if not 0.0 <= self.novelty < FIRST:
            raise OptionError(f"Reranked: novelty is {self.novelty}; expected 0 or more")
        for name in ("pool", "cap"):
            if getattr(self, name) < 1:
                raise OptionError(f"Reranked: {name} is {getattr(self, name)}; expected 1 or more")

    def learn(self, dataset: Dataset) -> None:
        """Fit the model."""
        self.learn_by(dataset, None, lambda told, done, total: None)

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Fit the model."""
        name, options = name_and_options(self.model)
        if name == "Reranked":
            raise OptionError("Reranked: the model is Reranked itself; give all rules to one")
        model: Recommender = registry.make("recommender", name, options)
        self._keep([model.fit(dataset, validation, on_progress=tell)])
        self.prepare()

    def extend(self) -> None:
        """Let the model score the new items, and apply the rules to them."""
        super().extend()
        self.prepare()

    def prepare(self) -> None:
        """Set what rules need, from the catalog and the vectors."""
        row, n_items = self.catalog_.ids.row, self.catalog_.n_items
        self.excluded_ = np.array([row(item) for item in self.exclude], np.int64)
        self.first_ = np.array([row(item) for item in dict.fromkeys((*self.pin, *self.boost))], np.int64)
        bits = -np.log2(np.maximum(self.popularity_, 1.0) / len(self.users_))
        self.worth_ = (self.novelty * bits / max(np.log2(len(self.users_)), 1.0)).astype(np.float32)
        for item, more in self.boost.items():
            self.worth_[row(item)] += more
        if self.diversity and self.by not in self.embeddings_:
            known = ", ".join(self.embeddings_) or "none"
            raise DataError(
                f"Reranked tells by vectors what is alike, and there are none named {self.by!r}"
                f"{did_you_mean(self.by, self.embeddings_)} There are: {known}. Encode and fuse the dataset first"
            )
        self.center_ = (
            self.embeddings_[self.by].center(self.popularity_ > 0) if self.diversity else np.zeros(0, np.float32)
        )
        self.groups_ = self._groups() if self.cap_column else np.zeros((n_items, 0), np.int64)

    def _groups(self) -> Rows:
        columns = [column.name for column in self.catalog_.columns.values() if column.modality == "text"]
        if self.cap_column not in columns:
            raise OptionError(
                f"Reranked: no text column {self.cap_column!r}{did_you_mean(self.cap_column, columns)} "
                f"There are: {', '.join(columns) or 'none'}."
            )
        cells = self.catalog_.columns[self.cap_column].values
        values = [[value for value in dict.fromkeys(re.split(r"\s*[|,;]\s*", cell or "")) if value] for cell in cells]
        number = {value: n for n, value in enumerate(sorted({value for row in values for value in row}), start=1)}
        groups = np.zeros((len(values), max(map(len, values))), np.int64)
        for row, own in enumerate(values):
            groups[row, : len(own)] = [number[value] for value in own]
        return groups

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → the model's scores float32 (b, n_items), -inf for excluded items."""
        scores = self._fitted()[0].score(users)
        scores[:, self.excluded_] = -np.inf
        return scores

    def score_similar(self, item: int) -> Scores:
        """An item's row → how similar the model finds every item; -inf for excluded ones."""
        scores = self._fitted()[0].score_similar(item).copy()
        scores[self.excluded_] = -np.inf
        return scores

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → the model's reasons; for a pinned item, that it is pinned."""
        reasons = self._fitted()[0].explain(user, items)
        pinned = {self.catalog_.ids.row(item) for item in self.pin}
        return [{"pinned": 1.0} if row in pinned else why for row, why in zip(items, reasons, strict=True)]

    def choose(self, scores: Scores, k: int) -> Rows:
        """Scores (b, n_items), -inf where not allowed → the lists int64 (b, k), -1 where caps leave nothing."""
        n_items = scores.shape[1]
        lists = np.full((len(scores), k), -1, np.int64)
        todo, n_pool = np.arange(len(scores)), min(self.pool * k, n_items)
        while len(todo):
            size = block_rows(n_pool * max(len(self.center_), 1))
            for start in range(0, len(todo), size):
                rows = todo[start : start + size]
                lists[rows] = self._lists(scores[rows], k, n_pool)
            if n_pool == n_items or not self.cap_column:
                break
            todo, n_pool = todo[(lists[todo] < 0).any(axis=1)], min(4 * n_pool, n_items)  # caps emptied these pools
        return lists

    def _lists(self, scores: Scores, k: int, n_pool: int) -> Rows:
        """As `choose`, from the `n_pool` best of each user."""
        best = top_k(scores, n_pool)
        pool = np.concatenate([np.tile(self.first_, (len(scores), 1)), best], axis=1)  # (b, p)
        value = self._value(scores, best, pool)
        vectors = self._vectors(pool) if self.diversity else None
        likeness = np.full(pool.shape, -1.0, np.float32)
        groups = self.groups_[pool]  # (b, p, most values)
        count = np.zeros((len(pool), int(self.groups_.max(initial=0)) + 1), np.int64)
        pinned = np.arange(pool.shape[1]) < len(set(self.pin))
        here = np.arange(len(pool))
        lists = np.full((len(pool), k), -1, np.int64)
        for place in range(k):
            now = value - np.float32(self.diversity) * likeness
            if self.cap_column:
                full = (count[here[:, None, None], groups] >= self.cap).any(axis=2)
                now[full & ~pinned] = -np.inf
            chosen = now.argmax(axis=1)
            lists[:, place] = np.where(now[here, chosen] > -np.inf, pool[here, chosen], -1)
            value[here, chosen] = -np.inf
            if vectors is not None:
                likeness = np.maximum(likeness, np.einsum("bpd,bd->bp", vectors, vectors[here, chosen]))
            np.add.at(count, (here[:, None], groups[here, chosen]), 1)
            count[:, 0] = 0  # no value, no cap
        return lists

    def _value(self, scores: Scores, best: Rows, pool: Rows) -> Scores:
        """What an item of the pool is worth before it is compared with others; -inf where it is not allowed."""
        own = np.take_along_axis(scores, best, axis=1)
        allowed = np.isfinite(own)
        low = np.min(own, axis=1, where=allowed, initial=np.inf)[:, None]
        high = np.max(own, axis=1, where=allowed, initial=-np.inf)[:, None]
        relevance = (np.take_along_axis(scores, pool, axis=1) - low) / np.where(high > low, high - low, 1.0)
        value = np.float32(1.0 - self.diversity) * (relevance + self.worth_[pool])
        n_pinned = len(set(self.pin))
        value[:, :n_pinned] += FIRST - np.arange(n_pinned, dtype=np.float32)
        value[:, len(self.first_) :][np.isin(best, self.first_)] = -np.inf  # it is in the pool already
        return np.asarray(value, np.float32)

    def _vectors(self, pool: Rows) -> NDArray[np.float32]:
        """Item rows (b, p) → centered unit vectors (b, p, dim), zero where an item has none: it is like nothing."""
        embeddings = self.embeddings_[self.by]
        rows = pool.ravel()
        vectors = unit(embeddings.vectors[rows] - self.center_)
        vectors[~embeddings.present[rows]] = 0.0
        return vectors.reshape(*pool.shape, -1)


def rerank(model: Recommender, **rules: Any) -> Reranked:
    """A fitted model and options of `Reranked` → that model with its lists made anew; nothing is learned.

    Rules of a model that is `Reranked` already stay where they are not given again.
    """
    model._check_fitted()
    told = (
        model.options() if isinstance(model, Reranked) else {"model": {"name": type(model).__name__, **model.options()}}
    )
    made: Reranked = registry.make("recommender", "Reranked", {**told, **rules})
    vars(made).update({name: getattr(model, name) for name in EVERYWHERE})
    made._keep(model._fitted() if isinstance(model, Reranked) else [model])
    made.prepare()
    return made
