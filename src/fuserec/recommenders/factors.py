"""Two vectors, one of a user and one of an item, learned so that their product ranks what a user chose first."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import cosines, unit
from fuserec.device import check_device
from fuserec.errors import OptionError
from fuserec.recommenders.cells import NO_CELLS, alike, cells_of, index_of, largest
from fuserec.recommenders.reach import Reached
from fuserec.recommenders.recommender import OnProgress, Rows, Scores, shares
from fuserec.recommenders.softmax import log_sum_exp
from fuserec.recommenders.training import MOST_USERS, Arrays, HeldOut, TrainedRecommender, Weights, hold_out

if TYPE_CHECKING:
    from torch import Tensor

BatchLoss: TypeAlias = "Callable[[Weights, Rows, Rows, Negatives], Tensor]"
Batches: TypeAlias = "Callable[[Weights, Rows, Rows, np.random.Generator], tuple[Tensor, Tensor]]"

LOOKED_AT = 12  # times as many items as are sought are scored exactly, of those that an index says are the best
HARD = 8  # one in eight negatives is kept, the best ranked
QUICK = 2_000_000  # numbers of item vectors: less than a millisecond to multiply one vector with them
LEAST_TEMPERATURE = 1 / 80  # cosines over less would overflow the exponential of a float32


@dataclass(kw_only=True, eq=False)
class ChoiceModel(TrainedRecommender):
    """A model that learns from who chose what, against negatives; a subclass has weights, a loss of them, and scores.

    Negatives stand for what a user did not choose. They are drawn

    uniform     of the items that somebody chose, all alike
    all         of all items alike; those that nobody chose learn to be ranked last, whatever content says of them
    popularity  by how many users chose them, corrected by the log of that share (Bengio and Senécal 2008)
    in-batch    as the items of the other users of the batch, corrected in the same way (Yi 2019, eq. 4)
    hard        as uniform; of eight, the one that the model ranks best for the user is kept (Zhang 2013)

    item_vectors_: float32 (n_items, d), by which items are alike
    """

    dim: int = 64
    negatives: int = 2_048
    sampling: Literal["uniform", "all", "popularity", "in-batch", "hard"] = "uniform"

    @abstractmethod
    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → the weights before the first step."""

    @abstractmethod
    def losses(self, dataset: Dataset) -> "BatchLoss":
        """Training dataset → the loss as a function of weights, users of a batch (b,), what they chose (b,), draw."""

    @abstractmethod
    def scorer(self, dataset: Dataset) -> "Callable[[Weights], Callable[[Rows], Scores]]":
        """Training dataset → weights, as a function to user rows (b,) as a function to scores (b, n_items)."""

    @abstractmethod
    def keep(self, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
        """All training data and the weights learned → `item_vectors_`; sets what else is needed to score."""

    @abstractmethod
    def score_known(self, users: Rows) -> Scores:
        """User rows (b,) → scores float32 (b, n_items), for users with a history."""

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Learn the weights from the training dataset, then what follows from them."""
        import torch

        check_device(self.device)  # before tensors of the dataset are put there
        part = dataset
        if validation is None:
            part, validation = hold_out(dataset, self.seed)
        judges = HeldOut.of(part.seen, validation.seen, self.seed, self.most_judges).blocks()
        pairs = part.seen.tocoo()
        popularity = np.asarray(part.seen.sum(axis=0)).ravel()
        start = self.start(part, np.random.default_rng(self.seed))
        losses, scorer = self.losses(part), self.scorer(part)

        def loss(weights: Weights, rows: Rows, rng: np.random.Generator) -> "Tensor":
            chosen = pairs.col[rows].astype(np.int64)
            draw = Negatives(self.sampling, popularity, chosen, rng)
            return losses(weights, pairs.row[rows].astype(np.int64), chosen, draw)

        def judge(weights: Weights) -> float:
            score = scorer(weights)
            return float(np.concatenate([some.ndcg(score(some.users)) for some in judges]).mean())

        weights = self.train(start, loss, judge if judges else None, pairs.nnz, part, tell)
        with torch.no_grad():
            self.item_vectors_ = self.keep(dataset, {name: self._tensor(value) for name, value in weights.items()})

    @property
    def most_judges(self) -> int:
        """By how many users validation judges at most."""
        return MOST_USERS

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → scores, float32 (b, n_items); popularity for users without a history."""
        scores = self.score_known(users)
        scores[np.diff(self.seen_.indptr)[users] == 0] = self.popularity_
        return scores

    def score_similar(self, item: int) -> Scores:
        """An item's row → the cosine of its vector with every other, float32 (n_items,)."""
        return cosines(self.item_vectors_, item)

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → the title of each item of the history, and its share: by cosine of vectors.

        What the vectors tell of the items, not how the score came about: that is a product, and has no parts.
        """
        history = self.seen_[[user]].indices
        if not len(history):
            return [{"popularity": 1.0} for _ in items]
        titles = [self.catalog_.title(int(row)) for row in history]
        near = unit(self.item_vectors_[history]) @ unit(self.item_vectors_[items]).T  # (len(history), m)
        return [shares(titles, np.exp(column / 0.1)) for column in near.T]


@dataclass(kw_only=True, eq=False)
class Factors(ChoiceModel):
    """A model of two tables of vectors; a subclass says how they follow from the weights, and what the loss is.

    user_vectors_, item_vectors_: float32 (n_users, d) and (n_items, d); a score is the product of two
    cells_: of the item vectors (see `cells_of`), by which a server finds the best of many items; empty where few
    """

    cells_ = NO_CELLS  # of a model that was saved before there were cells

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → small random vectors."""
        return {
            "users": small(rng, dataset.n_users, self.dim),
            "items": small(rng, dataset.n_items, self.dim),
        }

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """Training dataset → weights, as a function to the vectors of users (n_users, d) and items (n_items, d)."""
        return lambda weights: (weights["users"], weights["items"])

    def batches(self, dataset: Dataset) -> "Batches":
        """As `tables`, for a gradient step: with its users (b,), what they chose (b,) and chance → their vectors (b, d)
        and those of all items.
        """  # noqa: D205
        from torch.nn.functional import embedding

        tables = self.tables(dataset)

        def of(weights: Weights, users: Rows, chosen: Rows, rng: np.random.Generator) -> "tuple[Tensor, Tensor]":
            of_users, of_items = tables(weights)
            return embedding(self._tensor(users), of_users), of_items

        return of

    @abstractmethod
    def loss(self, users: "Tensor", items: "Tensor", chosen: Rows, draw: "Negatives") -> "Tensor":
        """Vectors of the users of a batch (b, d) and of all items (n_items, d), the row that each user chose (b,), and
        negatives to be drawn → the loss.
        """  # noqa: D205

    def losses(self, dataset: Dataset) -> "BatchLoss":
        """`loss` of the vectors that `batches` makes."""
        batches = self.batches(dataset)

        def of(weights: Weights, users: Rows, chosen: Rows, draw: Negatives) -> "Tensor":
            of_users, of_items = batches(weights, users, chosen, draw.rng)
            return self.loss(of_users.float(), of_items.float(), chosen, draw)  # whatever the precision before

        return of

    def scorer(self, dataset: Dataset) -> "Callable[[Weights], Callable[[Rows], Scores]]":
        """Products of the vectors that `tables` makes."""
        tables = self.tables(dataset)

        def of(weights: Weights) -> "Callable[[Rows], Scores]":
            users, items = (table.cpu().numpy() for table in tables(weights))
            return lambda rows: users[rows] @ items.T

        return of

    def keep(self, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
        """The vectors of users and items."""
        self.user_vectors_, items = (table.cpu().numpy() for table in self.tables(dataset)(weights))
        return items

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Learn the vectors, and put many items into cells."""
        super().learn_by(dataset, validation, tell)
        self.cells_ = cells_of(self.item_vectors_)

    def reach(self, user: int, history: Rows, k: int) -> Reached | None:
        """For a user of training, all items where they are few, and, where they are many, those in the nearest cells.

        Cells miss some of the best; `rank` looks at all.
        """
        n_items = len(self.item_vectors_)
        if user < 0 or not self.cells_ and self.item_vectors_.size > QUICK:
            return None
        index = self._index if self.cells_ else None  # made by whoever comes first
        if self.seen_.indptr[user] == self.seen_.indptr[user + 1]:
            return np.arange(n_items), self.popularity_
        if index is None:
            return np.arange(n_items), self.score_known(np.array([user]))[0]
        rows = largest(index, LOOKED_AT * k, self.item_vectors_, self.user_vectors_[user])
        # A sum by NumPy itself: `@` of so many wakes threads of BLAS, which cost other requests more than they save.
        return rows, np.einsum("nd,d->n", self.item_vectors_[rows], self.user_vectors_[user])

    @cached_property
    def _index(self) -> Any:
        return index_of(self.cells_, self.item_vectors_)

    def score_similar(self, item: int) -> Scores:
        """As of all models of choice; of many items, -inf for those in cells that are not near."""
        if not self.cells_:
            return super().score_similar(item)
        rows = alike(self.cells_, len(self.item_vectors_), self.item_vectors_[item])
        scores = np.full(len(self.item_vectors_), -np.inf, np.float32)
        scores[rows] = unit(self.item_vectors_[rows]) @ unit(self.item_vectors_[[item]])[0]
        return scores

    def score_known(self, users: Rows) -> Scores:
        """User rows (b,) → products of vectors, float32 (b, n_items)."""
        scores: Scores = self.user_vectors_[users] @ self.item_vectors_.T
        return scores

    def fold_in(self, users: Rows, kept: int) -> None:
        """The vector of a user is set to the mean of those of the items of the history.

        That ranks a little worse than vectors that were trained (`benchmarks/sessions.py`).
        """
        vectors = np.zeros((len(self.users_), self.item_vectors_.shape[1]), np.float32)
        vectors[:kept] = self.user_vectors_[:kept]
        history = self.seen_[users]
        vectors[users] = history @ self.item_vectors_ / np.maximum(np.diff(history.indptr), 1)[:, None]
        self.user_vectors_ = vectors


def small(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Chance and a shape → random weights to start from: float32, normal, with a standard deviation of 0.1."""
    return np.float32(0.1) * rng.standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Negatives:
    """How negatives are drawn for one batch; `chosen` (b,) are its items, `popularity` (n_items,) counts users."""

    sampling: str
    popularity: NDArray[np.float32]
    chosen: Rows
    rng: np.random.Generator

    def draw(self, n: int) -> tuple[Rows, NDArray[np.float32]]:
        """How many → item rows (n,), and the log of how much likelier than another each was, float32 (n,)."""
        if self.sampling == "all":
            return self.rng.integers(0, len(self.popularity), n), np.zeros(n, np.float32)
        if self.sampling in ("uniform", "hard"):
            return self.rng.choice(np.flatnonzero(self.popularity), n), np.zeros(n, np.float32)
        if self.sampling == "in-batch":
            rows = self.rng.choice(self.chosen, n)
        else:
            rows = np.searchsorted(np.cumsum(self.popularity), self.rng.random(n) * self.popularity.sum(), side="right")
        mean = self.popularity[self.popularity > 0].mean()
        return rows, np.log(self.popularity[rows] / mean)


@dataclass(kw_only=True, eq=False)
class BPR(Factors):
    """What a user chose is scored above what he did not, pair by pair (Rendle 2009, eq. 4), with item biases."""

    negatives: int = 1  # an interaction
    learning_rate: float = 0.02
    l2: float = 1e-3  # of the vectors of a batch

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → small random vectors, and biases of zero."""
        return super().start(dataset, rng) | {"bias": np.zeros((dataset.n_items, 1), np.float32)}

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """Vectors of users with a 1, vectors of items with their bias, so that the product adds the bias."""
        import torch

        one = torch.ones((dataset.n_users, 1), device=self.device)
        return lambda weights: (
            torch.cat([weights["users"], one], 1),
            torch.cat([weights["items"], weights["bias"]], 1),
        )

    def loss(self, users: "Tensor", items: "Tensor", chosen: Rows, draw: "Negatives") -> "Tensor":
        """-log sigmoid of how much more the chosen item scores, and l2; corrections do not apply to pairs."""
        from torch.nn.functional import embedding, softplus

        each = self.negatives * (HARD if self.sampling == "hard" else 1)
        drawn, _ = draw.draw(len(chosen) * each)
        mine = embedding(self._tensor(chosen), items)  # (b, d)
        others = embedding(self._tensor(drawn.reshape(len(chosen), each)), items)  # (b, each, d)
        scores = (others * users[:, None]).sum(-1)  # (b, each)
        if self.sampling == "hard":
            scores = scores.topk(self.negatives, dim=1).values
        lengths = (users**2).sum() + (mine**2).sum() + (others**2).sum() / each
        return softplus(scores - (mine * users).sum(-1, keepdim=True)).mean() + self.l2 * lengths / len(chosen)

    def fold_in(self, users: Rows, kept: int) -> None:
        """As of all factors, and the 1 that adds an item's bias."""
        super().fold_in(users, kept)
        self.user_vectors_[users, -1] = 1.0


@dataclass(kw_only=True, eq=False)
class SoftmaxFactors(Factors):
    """What a user chose is told from many items that he did not choose by a softmax over cosines (Wu 2024, eq. 4)."""

    temperature: float = 0.3

    def loss(self, users: "Tensor", items: "Tensor", chosen: Rows, draw: "Negatives") -> "Tensor":
        """-log of the chosen item's share among itself and the negatives, of which it may be one."""
        import torch

        if not self.temperature >= LEAST_TEMPERATURE:
            raise OptionError(
                f"{type(self).__name__}: temperature is {self.temperature}; expected {LEAST_TEMPERATURE} or more, "
                "since exponentials of cosines over less do not fit into float32"
            )
        drawn, log_share = draw.draw(self.negatives)
        mine = torch.nn.functional.embedding(self._tensor(chosen), items)  # (b, d)
        negatives = torch.nn.functional.embedding(self._tensor(drawn), items)  # (n, d)
        users = users / self.temperature
        right = (users * mine).sum(-1)  # (b,)
        if self.sampling == "hard":
            others = (users @ negatives.T).topk(max(1, self.negatives // HARD), dim=1).values.logsumexp(1)
        else:
            others = log_sum_exp()(users, negatives, self._tensor(np.exp(-log_share)))
        return torch.nn.functional.softplus(others - right).mean()

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """The vectors of the weights, at unit length."""
        from torch.nn.functional import normalize

        return lambda weights: (normalize(weights["users"]), normalize(weights["items"]))
