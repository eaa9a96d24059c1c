"""Two vectors, one of a user and one of an item, learned so that their product ranks what a user chose first."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import unit
from fuserec.errors import OptionError
from fuserec.recommenders.recommender import OnProgress, Rows, Scores, shares
from fuserec.recommenders.training import Arrays, HeldOut, TrainedRecommender, Weights, hold_out

if TYPE_CHECKING:
    from torch import Tensor

HARD = 8  # one in eight negatives is kept, the best ranked


@dataclass(kw_only=True, eq=False)
class Factors(TrainedRecommender):
    """A model of two tables of vectors; a subclass says how they follow from the weights, and what the loss is.

    Negatives stand for what a user did not choose. They are drawn

    uniform     of the items that somebody chose, all alike
    all         of all items alike; those that nobody chose learn to be ranked last, whatever content says of them
    popularity  by how many users chose them, corrected by the log of that share (Bengio and Senécal 2008)
    in-batch    as the items of the other users of the batch, corrected in the same way (Yi 2019, eq. 4)
    hard        as uniform; of eight, the one that the model ranks best for the user is kept (Zhang 2013)

    user_vectors_, item_vectors_: float32 (n_users, d) and (n_items, d); a score is the product of two
    """

    dim: int = 64
    negatives: int = 2_048
    sampling: Literal["uniform", "all", "popularity", "in-batch", "hard"] = "uniform"

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → the weights before the first step."""
        return {
            "users": 0.1 * rng.standard_normal((dataset.n_users, self.dim), dtype=np.float32),
            "items": 0.1 * rng.standard_normal((dataset.n_items, self.dim), dtype=np.float32),
        }

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """Training dataset → weights, as a function to the vectors of users (n_users, d) and items (n_items, d)."""
        return lambda weights: (weights["users"], weights["items"])

    @abstractmethod
    def loss(self, users: "Tensor", items: "Tensor", chosen: Rows, draw: "Negatives") -> "Tensor":
        """Vectors of the users of a batch (b, d) and of all items (n_items, d), the row that each user chose (b,), and
        negatives to be drawn → the loss.
        """  # noqa: D205

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Learn the weights from the training dataset, then the vectors of its users and items."""
        import torch

        part = dataset
        if validation is None:
            part, validation = hold_out(dataset, self.seed)
        judges = HeldOut.of(part.seen, validation.seen, self.seed).blocks()
        pairs = part.seen.tocoo()
        popularity = np.asarray(part.seen.sum(axis=0)).ravel()
        tables = self.tables(part)

        def loss(weights: Weights, rows: Rows, rng: np.random.Generator) -> "Tensor":
            users, items = tables(weights)
            chosen = pairs.col[rows].astype(np.int64)
            of_batch = torch.nn.functional.embedding(self._tensor(pairs.row[rows].astype(np.int64)), users)
            return self.loss(of_batch, items, chosen, Negatives(self.sampling, popularity, chosen, rng))

        def judge(weights: Weights) -> float:
            users, items = (table.cpu().numpy() for table in tables(weights))
            return float(np.concatenate([some.ndcg(users[some.users] @ items.T) for some in judges]).mean())

        start = self.start(part, np.random.default_rng(self.seed))
        weights = self.train(start, loss, judge if judges else None, pairs.nnz, part, tell)
        with torch.no_grad():
            of_all = self.tables(dataset)({name: self._tensor(value) for name, value in weights.items()})
        self.user_vectors_, self.item_vectors_ = (table.cpu().numpy() for table in of_all)

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → products of vectors, float32 (b, n_items); popularity for users without a history."""
        scores: Scores = self.user_vectors_[users] @ self.item_vectors_.T
        scores[np.diff(self.seen_.indptr)[users] == 0] = self.popularity_
        return scores

    def fold_in(self, users: Rows, kept: int) -> None:
        """The vector of a user is set to the mean of those of the items of the history.

        On MovieLens-100K that ranks better than least squares (Hu 2008, eq. 4) over the same vectors, and 1 to 12 %
        worse than vectors that were trained (ndcg@20, leave-last-out, validation).
        """
        vectors = np.zeros((len(self.users_), self.item_vectors_.shape[1]), np.float32)
        vectors[:kept] = self.user_vectors_[:kept]
        history = self.seen_[users]
        vectors[users] = history @ self.item_vectors_ / np.maximum(np.diff(history.indptr), 1)[:, None]
        self.user_vectors_ = vectors

    def score_similar(self, item: int) -> Scores:
        """An item's row → the cosine of its vector with every other, float32 (n_items,)."""
        vectors = unit(self.item_vectors_)
        cosine: Scores = vectors @ vectors[item]
        return cosine

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

    def _tensor(self, array: NDArray[Any]) -> "Tensor":
        import torch

        return torch.from_numpy(array).to(self.device)


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


@dataclass(kw_only=True, eq=False)
class SoftmaxFactors(Factors):
    """What a user chose is told from many items that he did not choose by a softmax over cosines (Wu 2024, eq. 4)."""

    temperature: float = 0.3

    def loss(self, users: "Tensor", items: "Tensor", chosen: Rows, draw: "Negatives") -> "Tensor":
        """-log of the chosen item's share among itself and the negatives, of which it may be one."""
        import torch

        if self.temperature <= 0.0:
            raise OptionError(f"{type(self).__name__}: temperature is {self.temperature}; expected more than 0")
        drawn, log_share = draw.draw(self.negatives)
        mine = torch.nn.functional.embedding(self._tensor(chosen), items)  # (b, d)
        negatives = torch.nn.functional.embedding(self._tensor(drawn), items)  # (n, d)
        users = users / self.temperature
        right = (users * mine).sum(-1)  # (b,)
        if self.sampling == "hard":
            others = (users @ negatives.T).topk(max(1, self.negatives // HARD), dim=1).values.logsumexp(1)
        else:
            others = _log_sum_exp()(users, negatives, self._tensor(np.exp(-log_share)))
        return torch.nn.functional.softplus(others - right).mean()

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """The vectors of the weights, at unit length."""
        from torch.nn.functional import normalize

        return lambda weights: (normalize(weights["users"]), normalize(weights["items"]))


@cache
def _log_sum_exp() -> Any:
    import torch

    class LogSumExp(torch.autograd.Function):
        """Users (b, d), negatives (n, d), their weights (n,) → log of the weighted sum of exp(users · negatives) (b,).

        One pass over the (b, n) products where autograd takes five, since the gradient needs only what was summed:
        three times as fast. Exact while products stay below 80, as cosines over a temperature do.
        """

        @staticmethod
        def forward(context: Any, users: "Tensor", negatives: "Tensor", weights: "Tensor") -> "Tensor":
            raised = (users @ negatives.T).exp_()  # (b, n)
            total = raised @ weights
            context.save_for_backward(users, negatives, weights, raised, total)
            return total.log()

        @staticmethod
        def backward(context: Any, gradient: "Tensor") -> "tuple[Tensor, Tensor, None]":
            users, negatives, weights, raised, total = context.saved_tensors
            scale = (gradient / total)[:, None]
            return (
                scale * (raised @ (weights[:, None] * negatives)),
                weights[:, None] * (raised.T @ (scale * users)),
                None,
            )

    return LogSumExp.apply
