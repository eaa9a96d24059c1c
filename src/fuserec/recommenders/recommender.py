"""Recommender: the contract of every model. A new one writes `learn` and `score`; everything else is here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, check_vectors
from fuserec.data.history import History
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.data.recommendations import Recommendations, Recommended
from fuserec.device import n_threads
from fuserec.errors import DataError, NotFittedError, OptionError
from fuserec.recommenders.reach import Reached
from fuserec.retrieval import block_rows, enlarged, top_k

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
SESSION = "session"  # the id of a user without an account
OnProgress = Callable[[str, int, int], None]  # what is done, how many steps are done, of how many


@dataclass(kw_only=True, eq=False)
class Recommender(ABC):
    """Ranks items for users. Fields are the options; what is learned is kept in attributes that end in `_`.

    catalog_, users_: items and users of the training data; row numbers below refer to them
    seen_: float32 CSR (n_users, n_items) of ones, who did something with what
    order_, times_: the items of `seen_` int32 (n,) in the order of `history`, and when, int64 (n,) or, unknown, (0,)
    popularity_: float32 (n_items,), how many users did something with each item
    embeddings_: column → Embeddings
    stages_: what made the embeddings, ready to make those of new items
    """

    def fit(
        self, dataset: Dataset, validation: Dataset | None = None, *, on_progress: OnProgress | None = None
    ) -> Self:
        """Training dataset (with vectors, if the model uses content) → this model, fitted.

        validation: interactions of the same users and items, not in training; a model that has something to choose,
        such as when to stop, chooses by them. on_progress: told where a model trains for long.
        """
        if not len(dataset.interactions):
            raise DataError(f"{type(self).__name__}: {dataset.name} has no interactions to learn from")
        self.catalog_, self.users_, self.seen_ = dataset.catalog, dataset.users, dataset.seen
        self.order_, self.times_ = dataset.history.items.astype(np.int32), dataset.history.times
        self.embeddings_, self.stages_ = dict(dataset.embeddings), dataset.stages
        self.popularity_ = np.asarray(dataset.seen.sum(axis=0), dtype=np.float32).ravel()
        self.learn_by(dataset, validation, on_progress or (lambda told, done, total: None))
        return self

    @abstractmethod
    def learn(self, dataset: Dataset) -> None:
        """Set the learned attributes from the training dataset."""

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """`learn`, for models that choose something by a validation part, or that tell how far they are."""
        self.learn(dataset)

    def with_items(self, items: Catalog, vectors: Mapping[str, Embeddings] | None = None) -> Self:
        """New items, with columns as in training → a copy of this model that scores them too; nothing is trained.

        Their vectors are made as those of the training items were; `vectors` are those that were given in training.
        Raises `DataError` for an id that the model knows and for media that cannot be decoded, `OptionError` for a
        model that knows items only by who chose them.
        """
        self._check_fitted()
        nobody = np.zeros(0, np.int64)
        new = Dataset("new items", items, Ids([], "user"), Interactions(nobody, nobody), vectors or {})
        for stage in self.stages_:
            new = stage(new)
        for entry in new.set_aside:
            raise DataError(f"{entry}; leave it empty where the item has no usable {entry.what}")
        model = copy(self)
        model.catalog_ = self.catalog_.followed_by(items)
        model.embeddings_ = {
            name: known.followed_by(new.embeddings.get(name), new.n_items) for name, known in self.embeddings_.items()
        }
        model.seen_ = enlarged(self.seen_, (len(self.users_), model.catalog_.n_items))
        model.popularity_ = np.pad(self.popularity_, (0, new.n_items))
        model.extend()
        return model

    def extend(self) -> None:
        """New items have been added below the catalog, vectors, `seen_` and `popularity_`: set what was learned anew.

        Attributes are replaced, not changed, since another model may hold them too.
        """
        raise OptionError(
            f"{type(self).__name__} knows items by who chose them, so for new ones it has to be fitted again; "
            "models of content, such as ContentWalk, have not"
        )

    @property
    def history(self) -> History:
        """What each user chose, the oldest item first."""
        return History(self.seen_.indptr, self.order_, self.times_)

    def with_interactions(self, users: Sequence[str], items: Sequence[str], times: Sequence[int] | None = None) -> Self:
        """Ids of users and of the items they went for (n,), and unix seconds → a copy that knows; nothing is trained.

        Users may be new. Without times, all of it happened last, in this order. How popular an item is stays as it was
        in training. Raises `UnknownIdError` for an item, `OptionError` for a model that has to be trained for that.
        """
        self._check_fitted()
        rows = np.array([self.catalog_.ids.row(item) for item in items], np.int64)
        new = [user for user in dict.fromkeys(users) if user not in self.users_]
        model = copy(self)
        model.users_ = Ids([*self.users_, *new], "user") if new else self.users_
        whose = model.users_.rows(users)
        told = None if times is None else np.array(times, np.int64)
        model._remember(self.history.followed_by(whose, rows, told, len(model.users_)))
        model.fold_in(np.unique(whose), len(self.users_))
        return model

    def for_session(self, items: Iterable[str]) -> Self:
        """Item ids, the oldest first → a copy of this model whose only user, `session`, did something with those.

        What costs time in `with_interactions`, knowing all the others, is left out. Raises as that does.
        """
        self._check_fitted()
        rows = np.array([self.catalog_.ids.row(item) for item in items], np.int64)
        model = copy(self)
        model.users_ = Ids([SESSION], "user")
        model._remember(History.of(np.zeros(len(rows), np.int64), rows, None, 1))
        model.fold_in(np.zeros(1, np.int64), 0)
        return model

    def _remember(self, history: History) -> None:
        self.seen_ = history.seen(self.catalog_.n_items)
        self.order_, self.times_ = history.items.astype(np.int32), history.times

    def fold_in(self, users: Rows, kept: int) -> None:
        """The histories of these users have changed, and users from row `kept` on are new: set what is known of them.

        Of earlier users, the first `kept` are there still. Attributes are replaced, not changed.
        """
        raise OptionError(
            f"{type(self).__name__} knows users by training, so for new ones, sessions and new interactions it has to "
            "be fitted again; models of histories, such as ContentWalk, EASE or SASRec, have not"
        )

    @abstractmethod
    def score(self, users: Rows) -> Scores:
        """User rows int64 (b,) → a score for every item, float32 (b, n_items); only their order matters."""

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → for each item, what spoke for it → its share of the score."""
        return [{} for _ in items]

    def rank(self, users: Rows, k: int, candidates: NDArray[np.bool_] | None = None) -> tuple[Rows, Scores]:
        """User rows (b,) → the k best item rows int64 (b, k) and scores float32 (b, k), best first, seen left out.

        candidates: bool (n_items,), the only items allowed; default: all. Where fewer are left: row -1, score -inf.
        """
        self._check_fitted()
        n_items = self.catalog_.n_items
        k = min(k, n_items)
        ranked = np.empty((len(users), k), np.int64)
        scores = np.empty((len(users), k), np.float32)
        size = block_rows(n_items)

        def rank_block(start: int) -> None:
            block = users[start : start + size]
            matrix = self.score(block)  # (b, n_items)
            if np.isnan(matrix.min()):
                raise DataError(
                    f"{type(self).__name__} gave a score that is not a number; its data or options are unusable"
                )
            seen = self.seen_[block]
            matrix[np.repeat(np.arange(len(block)), np.diff(seen.indptr)), seen.indices] = -np.inf
            if candidates is not None:
                matrix[:, ~candidates] = -np.inf
            best = self.choose(matrix, k)
            ranked[start : start + size] = best
            scores[start : start + size] = np.where(best < 0, -np.inf, np.take_along_axis(matrix, best, axis=1))

        starts = range(0, len(users), size)
        if len(starts) < 2 or n_threads() < 2:
            for start in starts:
                rank_block(start)
        else:
            from threadpoolctl import threadpool_limits

            # Blocks run in parallel already: two threads of BLAS in each of two took twice the time of one.
            with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads()) as pool:
                list(pool.map(rank_block, starts))
        ranked[np.isneginf(scores)] = -1
        return ranked, scores

    def reach(self, user: int, history: Rows, k: int) -> Reached | None:
        """A user's row, or -1, and item rows of what he did (h,) → items among which are, nearly always, his k best.

        All others score less, but for a few where a model says so. None: `rank` has to look at all.
        """
        return None

    def choose(self, scores: Scores, k: int) -> Rows:
        """Scores float32 (b, n_items), -inf for items not allowed → item rows int64 (b, k), best first."""
        return top_k(scores, k)

    def recommend(
        self, user: str | None = None, k: int = 10, *, items: Iterable[str] | None = None, exclude: Iterable[str] = ()
    ) -> Recommendations:
        """User id → the k best items that the user has not seen, with what speaks for each.

        items: instead of a user, what somebody without an account did, the oldest item first (see `for_session`).
        Who has no history, or one that nobody shares, gets what is popular.
        Raises `UnknownIdError` for a user (or an item) that is not in the data.
        """
        self._check_fitted()
        if (user is None) == (items is None):
            raise OptionError("recommend for a user, or for the items of a session; expected one of the two")
        if items is not None:
            query: dict[str, Any] = {"items": list(items), "k": k}
            model, row = self.for_session(query["items"]), 0
        else:
            query = {"user": user, "k": k}
            model, row = self, self.users_.row(str(user))
        candidates = np.ones(self.catalog_.n_items, bool)
        candidates[[self.catalog_.ids.row(item) for item in exclude]] = False
        ranked, scores = model.rank(np.array([row]), _checked(k), candidates)
        kept = ranked[0] >= 0
        best = ranked[0][kept]
        return self.listed(query, best, scores[0][kept], model.explain(row, best))

    def similar_items(self, item: str, k: int = 10, *, by: str | None = None) -> Recommendations:
        """Item id → the k most similar other items: by cosine in the vectors named `by`, or as this model sees it."""
        self._check_fitted()
        row = self.catalog_.ids.row(item)
        scores = (self.score_similar(row) if by is None else self._cosine_to(row, by)).copy()
        scores[row] = -np.inf
        best = top_k(scores[None, :], _checked(k))[0]
        best = best[scores[best] > -np.inf]
        query = {"item": item, "k": k} | ({} if by is None else {"by": by})
        return self.listed(query, best, scores[best], [{} for _ in best])

    def score_similar(self, item: int) -> Scores:
        """An item's row → how similar every item is, float32 (n_items,); by default the cosine of who chose what."""
        counts = np.asarray((self.seen_.T @ self.seen_[:, [item]]).todense()).ravel()
        length = np.sqrt(self.popularity_ * self.popularity_[item])
        cosine: Scores = np.divide(counts, length, out=np.zeros_like(length), where=length > 0)
        return cosine

    def _cosine_to(self, row: int, by: str) -> Scores:
        check_vectors([by], self.embeddings_)
        embeddings = self.embeddings_[by]
        if not embeddings.present[row]:
            raise DataError(f"item {self.catalog_.ids[row]!r} has no {by}, so nothing is similar to it by {by}")
        warm = self.popularity_ > 0
        cosines = embeddings.cosines_to(embeddings.centered_unit_of(row, warm), warm)
        return np.where(embeddings.present, cosines, -np.inf).astype(np.float32)

    def listed(
        self, query: dict[str, Any], items: Rows, scores: Scores, why: Sequence[dict[str, float]] | None = None
    ) -> Recommendations:
        """A query, and item rows, scores and, where told, reasons (m,), best first → recommendations with titles."""
        ids, title, rows = self.catalog_.ids, self.catalog_.title, items.tolist()
        told = zip(rows, scores.tolist(), why or [{}] * len(rows), strict=True)
        return Recommendations(query, tuple(Recommended(ids[row], score, title(row), why) for row, score, why in told))

    def _check_fitted(self) -> None:
        if not hasattr(self, "seen_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(train) first")

    def options(self) -> dict[str, Any]:
        """Option → value, as given when the model was made."""
        return {option.name: getattr(self, option.name) for option in fields(self)}


@dataclass(kw_only=True, eq=False)
class HistoryRecommender(Recommender):
    """A model whose scores follow from the items of a user's history alone: a new user needs no retraining."""

    def fold_in(self, users: Rows, kept: int) -> None:
        """Nothing: `seen_` says it all."""

    @abstractmethod
    def score_history(self, history: csr_matrix) -> Scores:
        """Histories float32 CSR (b, n_items) of ones → scores float32 (b, n_items), linear in a row up to a scale."""

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → scores (b, n_items); where the history tells nothing, the popularity of each item.

        It tells nothing where it is empty, or where no item outside of it gets a score above 0: nobody shares it.
        """
        history = self.seen_[users]
        scores = self.score_history(history)
        scores[self._tells_nothing(history, scores)] = self.popularity_
        return scores

    def _tells_nothing(self, history: csr_matrix, scores: Scores) -> NDArray[np.bool_]:
        own = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr)), history.indices
        kept = scores[own]
        scores[own] = 0.0  # put back below: a copy of all scores would take the memory twice
        nothing: NDArray[np.bool_] = scores.max(axis=1) <= 0.0
        scores[own] = kept
        return nothing

    def goes_by_popularity(self, user: int) -> bool:
        """A user's row → whether nothing but popularity speaks for what is recommended to him."""
        history = self.seen_[[user]]
        return bool(self._tells_nothing(history, self.score_history(history))[0])

    def score_similar(self, item: int) -> Scores:
        """An item's row → the scores of somebody who chose only that item."""
        one = csr_matrix(([np.float32(1.0)], ([0], [item])), shape=(1, self.catalog_.n_items))
        scores: Scores = self.score_history(one)[0]
        return scores

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → the title of each item of the history, and its share of the score."""
        if self.goes_by_popularity(user):
            return [{"popularity": 1.0} for _ in items]
        history = self.seen_[[user]].indices
        one_each = csr_matrix(
            (np.ones(len(history), np.float32), (np.arange(len(history)), history)),
            shape=(len(history), self.catalog_.n_items),
        )
        parts = np.maximum(self.score_history(one_each)[:, items], 0.0)  # (len(history), m)
        titles = [self.catalog_.title(int(row)) for row in history]
        return [shares(titles, column) for column in parts.T]


def shares(names: Sequence[str], parts: NDArray[np.floating]) -> dict[str, float]:
    """Names and their parts of a score (n,) → name → share of the sum, largest first; at most eight, of 1 % or more."""
    total = float(parts.sum())
    if total <= 0.0:
        return {}
    largest = np.argsort(-parts, kind="stable")[:8]
    return {names[place]: float(parts[place]) / total for place in largest if parts[place] >= 0.01 * total}


def _checked(k: int) -> int:
    if k < 1:
        raise OptionError(f"k is {k}; expected 1 or more")
    return k
