"""Two vectors whose product is the score, as in `factors.py`, where that of an item follows from what it is."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import unit
from fuserec.recommenders.content import columns_named
from fuserec.recommenders.edges import Edges, product
from fuserec.recommenders.factors import BPR, Batches, Factors, SoftmaxFactors, small
from fuserec.recommenders.recommender import Rows
from fuserec.recommenders.training import Arrays, Weights

if TYPE_CHECKING:
    from torch import Tensor

Blocks = Mapping[str, Any]  # column → tensor (n, dim_m)


@dataclass(kw_only=True, eq=False)
class ContentFactors(Factors):
    """Factors whose item vectors can be made from content alone, so that new items are scored without training.

    A subclass names it after the model whose loss it has, whose defaults then hold, and writes `tower`; weights of what
    is mapped from content have names that begin with `content`. Content of a column are its centered unit vectors; that
    of an item that lacks the column is a row of zeros, so that a linear map adds nothing of it.

    tower_: name → float32 array, these weights
    columns_: which vectors they were learned from
    """

    columns: tuple[str, ...] = ()  # which vectors; default: all but the fused ones

    @abstractmethod
    def tower(self, weights: Weights, content: Blocks) -> "Tensor":
        """Weights and content of n items → the vectors of items that nobody chose (n, d)."""

    def columns_of(self, dataset: Dataset) -> list[str]:
        """Dataset → names of the vectors to learn from."""
        return columns_named(dataset, self.columns, type(self).__name__)

    def content_of(self, dataset: Dataset) -> "dict[str, Tensor]":
        """Dataset → column → content of all items (n_items, dim_m)."""
        return {
            name: self._tensor(dataset.embeddings[name].centered_unit(dataset.warm))
            for name in self.columns_of(dataset)
        }

    def maps(self, dataset: Dataset, rng: np.random.Generator, dim: int) -> Arrays:
        """Random linear maps of content, `content/COLUMN` float32 (dim_m, dim)."""
        return {f"content/{name}": small(rng, dataset.embeddings[name].dim, dim) for name in self.columns_of(dataset)}

    def keep(self, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
        """The vectors of users and items, and what new items need."""
        self.columns_ = tuple(self.columns_of(dataset))
        self.tower_ = {name: value.cpu().numpy() for name, value in weights.items() if name.startswith("content")}
        return super().keep(dataset, weights)

    def extend(self) -> None:
        """Vectors of the new items, from their content; raises `OptionError` for a model that used none."""
        import torch

        if not self.columns_:
            super().extend()
        n_known, warm = len(self.item_vectors_), self.popularity_ > 0
        with torch.no_grad():
            new = self.tower(
                {name: torch.tensor(value) for name, value in self.tower_.items()},
                {name: torch.tensor(self.embeddings_[name].centered_unit(warm)[n_known:]) for name in self.columns_},
            )
        self.item_vectors_ = np.concatenate([self.item_vectors_, new.numpy()])


def mapped(weights: Weights, content: Blocks, kind: str = "content") -> "Tensor":
    """Content of n items, each column times its map `KIND/COLUMN`, added up (n, d)."""
    first, *others = (block @ weights[f"{kind}/{name}"] for name, block in content.items())
    total: Tensor = sum(others, start=first)
    return total.float()  # from half precision


@dataclass(kw_only=True, eq=False)
class VBPR(BPR, ContentFactors):
    """BPR whose items also have what is seen of them: vectors and biases mapped from content (He 2016, eq. 4).

    score = item bias + user · item + user's taste · sum of E_m f_m + sum of b_m · f_m, over the columns m that the item
    has; f_m is its centered unit vector. An item that nobody chose has only the last two terms.
    """

    content_dim: int = 64  # of the vectors mapped from content, and of a user's taste

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → those of BPR, a taste a user, and a map and a bias a column."""
        start = super().start(dataset, rng) | {"tastes": small(rng, dataset.n_users, self.content_dim)}
        biases = {
            f"content-bias/{name}": np.zeros((dataset.embeddings[name].dim, 1), np.float32)
            for name in self.columns_of(dataset)
        }
        return start | self.maps(dataset, rng, self.content_dim) | biases

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """Users: vector, taste, 1; items: vector, what is seen, biases."""
        import torch

        one = torch.ones((dataset.n_users, 1), device=self.device)
        warm = self._tensor(dataset.warm[:, None])
        content = self.content_of(dataset)

        def of(weights: Weights) -> "tuple[Tensor, Tensor]":
            own, bias = (torch.where(warm, weights[name], 0.0) for name in ("items", "bias"))
            seen = mapped(weights, content)
            return (
                torch.cat([weights["users"], weights["tastes"], one], 1),
                torch.cat([own, seen, bias + mapped(weights, content, "content-bias")], 1),
            )

        return of

    def tower(self, weights: Weights, content: Blocks) -> "Tensor":
        """No vector, what is seen, and its bias: (n, dim + content_dim + 1)."""
        import torch

        seen = mapped(weights, content)
        return torch.cat([seen.new_zeros(len(seen), self.dim), seen, mapped(weights, content, "content-bias")], 1)


@dataclass(kw_only=True, eq=False)
class TwoTower(SoftmaxFactors, ContentFactors):
    """One network makes the vectors of items from what they are, one those of users from what they chose (Yi 2019).

    item = unit length of x + relu(x up + bias) down, x the sum of E_m f_m over its columns; f_m is a centered unit
    vector. The last term only where `hidden` is not 0. user = unit length of the mean of his items, each with a vector
    of its own beside that of the item tower, times a matrix. In training the item sought is left out of his mean:
    otherwise it would be found from itself. No vectors of users and, on the side that is ranked, of items are learned,
    so that what nobody chose is on a par with what many did.

    told_: float32 (n_items, dim), what each item adds to the vector of a user who chose it, before unit length
    user_map_: float32 (dim, dim), the matrix
    """

    sampling: Literal["uniform", "all", "popularity", "in-batch", "hard"] = "in-batch"
    learning_rate: float = 0.01
    hidden: int = 0  # units of the hidden layer of the item tower; 0: linear
    ids: bool = True  # whether the items of a history have vectors of their own; if not, they are only content

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → maps of content, a hidden layer that adds nothing yet, and vectors of items chosen."""
        start = self.maps(dataset, rng, self.dim) | {"user": np.eye(self.dim, dtype=np.float32)}
        if self.hidden:
            start["content-up"] = small(rng, self.dim, self.hidden)
            start["content-up-bias"] = np.zeros(self.hidden, np.float32)
            start["content-down"] = np.zeros((self.hidden, self.dim), np.float32)
        if self.ids:
            start["items"] = small(rng, dataset.n_items, self.dim)
        return start

    def tower(self, weights: Weights, content: Blocks) -> "Tensor":
        """The item tower: unit vectors (n, dim); zero where an item has no column."""
        from torch.nn.functional import normalize, relu

        vectors = mapped(weights, content)
        if self.hidden:
            vectors = (
                vectors + relu(vectors @ weights["content-up"] + weights["content-up-bias"]) @ weights["content-down"]
            )
        return normalize(vectors)

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """Users from all that they chose, and the item tower."""
        content = self.content_of(dataset)
        to_users, to_items = Edges(dataset.seen, self.device), Edges(dataset.seen.T.tocsr(), self.device)

        def of(weights: Weights) -> "tuple[Tensor, Tensor]":
            items = self.tower(weights, content)
            return self._users(weights, product(self._told(weights, items), to_users, to_items)), items

        return of

    def batches(self, dataset: Dataset) -> Batches:
        """The same, the users of a batch without the item that is sought."""
        content = self.content_of(dataset)

        def of(weights: Weights, users: Rows, chosen: Rows, rng: np.random.Generator) -> "tuple[Tensor, Tensor]":
            from torch.nn.functional import embedding

            items = self.tower(weights, content)
            told = self._told(weights, items)
            history = dataset.seen[users]  # (b, n_items)
            sums = product(told, Edges(history, self.device), Edges(history.T.tocsr(), self.device))
            return self._users(weights, sums - embedding(self._tensor(chosen), told)), items

        return of

    def keep(self, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
        """The vectors of users and items, what new items need, and what each item tells of those who choose it."""
        items = super().keep(dataset, weights)
        self.told_ = (self._told(weights, self._tensor(items)) @ weights["user"]).cpu().numpy()
        self.user_map_ = weights["user"].cpu().numpy()
        return items

    def extend(self) -> None:
        """Vectors of the new items, which have none of their own in a history either."""
        super().extend()
        self.told_ = np.concatenate([self.told_, self.item_vectors_[len(self.told_) :] @ self.user_map_])

    def fold_in(self, users: Rows, kept: int) -> None:
        """The vectors of users follow from their histories: those of new ones are made as in training."""
        vectors = np.zeros((len(self.users_), self.told_.shape[1]), np.float32)
        vectors[:kept] = self.user_vectors_[:kept]
        vectors[users] = unit(self.seen_[users] @ self.told_)
        self.user_vectors_ = vectors

    def _told(self, weights: Weights, items: "Tensor") -> "Tensor":
        """What each item tells of those who chose it (n_items, dim)."""
        return items + weights["items"] if self.ids else items

    def _users(self, weights: Weights, sums: "Tensor") -> "Tensor":
        """Sums over histories (b, dim) → the vectors of users; the length of a history does not matter."""
        from torch.nn.functional import normalize

        return normalize(sums @ weights["user"])
