"""Rating models that learn by gradient steps, on the training loop that all recommenders share."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.ratings.predictor import (
    L2_ITEMS,
    L2_USERS,
    RatingPredictor,
    Values,
    biases,
    hold_out_ratings,
    padded,
    rating_matrix,
)
from fuserec.recommenders.neumf import network, network_start
from fuserec.recommenders.recommender import OnProgress, Rows, Scores
from fuserec.recommenders.training import Arrays, TrainedRecommender, Weights

if TYPE_CHECKING:
    from torch import Tensor

Forward: TypeAlias = "Callable[[Weights, Tensor, Tensor], tuple[Tensor, Tensor]]"  # weights, user and item rows (b,) →


@dataclass(kw_only=True, eq=False)
class TrainedRatings(RatingPredictor, TrainedRecommender):
    """A model whose weights follow from squared errors. With a validation part, the epoch that is best there is kept;
    without one, 5 % of the ratings are held out for that.

    validation_: float32 (n_epochs,): minus the root mean squared error after each epoch
    """  # noqa: D205

    dim: int = 32
    l2: float = 0.1  # of the weights of a batch
    epochs: int = 60
    patience: int = 10
    batch: int = 1_024
    learning_rate: float = 0.01

    @abstractmethod
    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → the weights before the first step."""

    @abstractmethod
    def forward(self, dataset: Dataset) -> Forward:
        """Training dataset → weights, user and item rows (b,), as a function to what is added to the mean rating (b,),
        and the mean square of the weights that took part.
        """  # noqa: D205

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Learn the weights from the training dataset."""
        import torch

        if self.dim < 1 or self.l2 < 0.0:
            raise OptionError(f"{type(self).__name__}: dim is {self.dim}, l2 is {self.l2}; expected from 1 and from 0")
        part, judges = (dataset, validation) if validation else hold_out_ratings(dataset, self.seed, share=0.1)
        rows, held = part.interactions, judges.interactions
        assert rows.ratings is not None and held.ratings is not None
        users, items, held_users, held_items = (
            torch.from_numpy(one).to(self.device) for one in (rows.users, rows.items, held.users, held.items)
        )
        left = torch.from_numpy(rows.ratings - np.float32(self.mean_)).to(self.device)
        held_left = torch.from_numpy(held.ratings - np.float32(self.mean_)).to(self.device)
        forward = self.forward(part)

        def loss(weights: Weights, batch: Rows, rng: np.random.Generator) -> "Tensor":
            chosen = torch.from_numpy(batch).to(self.device)
            found, size = forward(weights, users[chosen], items[chosen])
            return ((found - left[chosen]) ** 2).mean() + self.l2 * size

        def judge(weights: Weights) -> float:
            return -float(((forward(weights, held_users, held_items)[0] - held_left) ** 2).mean() ** 0.5)

        start = self.start(part, np.random.default_rng(self.seed))
        self.keep_weights(self.train(start, loss, judge if len(held) else None, len(rows), part, tell), part)

    @abstractmethod
    def keep_weights(self, weights: Arrays, dataset: Dataset) -> None:
        """Set the learned attributes from the best weights."""


@dataclass(kw_only=True, eq=False)
class FactorRatings(TrainedRatings):
    """Biases and the product of two vectors (Koren 2009, eq. 5); with `implicit`, SVD++ (Koren 2008, eq. 15).

    user_vectors_, item_vectors_: float32 (n_users, dim) and (n_items, dim); a user's holds what he rated, if asked
    """

    implicit: bool = False  # that a user rated an item counts beside how

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Biases of this dataset, small random vectors."""
        user_bias, item_bias = biases(dataset, L2_ITEMS, L2_USERS)  # without what is held out, unlike `user_bias_`
        weights = {
            "users": 0.1 * rng.standard_normal((dataset.n_users, self.dim), dtype=np.float32),
            "items": 0.1 * rng.standard_normal((dataset.n_items, self.dim), dtype=np.float32),
            "user_bias": user_bias,
            "item_bias": item_bias,
        }
        return weights | ({"rated": np.zeros((dataset.n_items, self.dim), np.float32)} if self.implicit else {})

    def forward(self, dataset: Dataset) -> Forward:
        """Biases and the product of the vectors."""
        import torch

        history = self._history(dataset)

        def product(weights: Weights, users: "Tensor", items: "Tensor") -> "tuple[Tensor, Tensor]":
            mine, own = weights["users"][users], weights["items"][items]
            of_user, of_item = weights["user_bias"][users], weights["item_bias"][items]
            size = (mine**2).sum(1) + (own**2).sum(1) + of_user**2 + of_item**2
            if history is not None:
                mine = mine + torch.sparse.mm(history, weights["rated"])[users]
                size = size + (weights["rated"] ** 2).sum() / len(weights["rated"])
            return of_user + of_item + (mine * own).sum(1), size.mean()

        return product

    def keep_weights(self, weights: Arrays, dataset: Dataset) -> None:
        """The vectors, what a user rated added to his own."""
        import torch

        self.user_bias_, self.item_bias_ = weights["user_bias"], weights["item_bias"]
        self.user_vectors_, self.item_vectors_ = weights["users"], weights["items"]
        history = self._history(dataset)
        if history is not None:
            rated = torch.from_numpy(weights["rated"]).to(self.device)
            self.user_vectors_ = self.user_vectors_ + torch.sparse.mm(history, rated).cpu().numpy()

    def extend(self) -> None:
        """New items have neither bias nor vector."""
        super().extend()
        self.item_vectors_ = padded(self.item_vectors_, self.catalog_.n_items)

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → mean + biases + product, float32 (n,)."""
        product = np.einsum("ij,ij->i", self.user_vectors_[users], self.item_vectors_[items])
        return np.asarray(self.mean_ + self.user_bias_[users] + self.item_bias_[items] + product, np.float32)

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → the rating of every item, float32 (b, n_items), not clipped."""
        scores = self.user_vectors_[users] @ self.item_vectors_.T + self.item_bias_
        return np.asarray(scores + (self.mean_ + self.user_bias_[users])[:, None], np.float32)

    def _history(self, dataset: Dataset) -> "Tensor | None":
        """Who rated what, rows of length 1, as a sparse tensor (n_users, n_items)."""
        import torch

        if not self.implicit:
            return None
        seen = rating_matrix(dataset, np.ones(len(dataset.interactions), np.float32)).tocoo()
        length = np.sqrt(np.bincount(seen.row, minlength=dataset.n_users)).astype(np.float32)
        places = torch.from_numpy(np.stack([seen.row, seen.col]).astype(np.int64))
        values = torch.from_numpy(1.0 / length[seen.row])
        return torch.sparse_coo_tensor(
            places, values, seen.shape, device=self.device, check_invariants=False
        ).coalesce()


@dataclass(kw_only=True, eq=False)
class NeuMFRatings(TrainedRatings):
    """Neural matrix factorization (He 2017, eq. 12) with a rating for a head: the network of `NeuMF`, and biases.

    weights_: name → float32 array, see `fuserec.recommenders.neumf.network`; `bias/users`
    """

    dim: int = 16  # of the product; the network has as many of each side, a hidden layer of as many and one of half
    l2: float = 0.2
    batch: int = 4_096

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Biases of this dataset, small random weights."""
        hidden = (self.dim, max(1, self.dim // 2))
        start = network_start(rng, dataset.n_users, dataset.n_items, self.dim, hidden)
        user_bias, item_bias = biases(dataset, L2_ITEMS, L2_USERS)  # without what is held out, unlike `user_bias_`
        return start | {"bias/users": user_bias, "bias/items": item_bias}

    def forward(self, dataset: Dataset) -> Forward:
        """Biases, product and network."""

        def rate(weights: Weights, users: "Tensor", items: "Tensor") -> "tuple[Tensor, Tensor]":
            of_user, of_item = weights["bias/users"][users], weights["bias/items"][items]
            size = of_user**2 + of_item**2
            for part in ("gmf", "mlp"):
                size = (
                    size + (weights[f"{part}/users"][users] ** 2).sum(1) + (weights[f"{part}/items"][items] ** 2).sum(1)
                )
            return of_user + network(weights, users, items), size.mean()

        return rate

    def keep_weights(self, weights: Arrays, dataset: Dataset) -> None:
        """All of them."""
        self.weights_ = weights

    def extend(self) -> None:
        """New items have neither bias nor embedding."""
        super().extend()
        of_items = {name: padded(w, self.catalog_.n_items) for name, w in self.weights_.items() if "/items" in name}
        self.weights_ = self.weights_ | of_items

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → mean + biases + product + network, float32 (n,)."""
        import torch

        weights = {name: torch.from_numpy(np.array(value)) for name, value in self.weights_.items()}
        size, forward, found = 100_000, self.forward(None), []  # type: ignore[arg-type]
        for start in range(0, len(users), size):
            rows = (torch.from_numpy(np.ascontiguousarray(one[start : start + size])) for one in (users, items))
            found.append(forward(weights, *rows)[0].numpy())
        return np.concatenate(found) + np.float32(self.mean_)
