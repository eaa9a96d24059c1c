"""Vectors that are smoothed over the graph of who chose what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.recommenders.edges import Edges, normalized, propagate
from fuserec.recommenders.factors import SoftmaxFactors
from fuserec.recommenders.towers import Blocks, ContentFactors, mapped
from fuserec.recommenders.training import Arrays, Weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True, eq=False)
class LightGCN(SoftmaxFactors, ContentFactors):
    """Vectors of users and items, averaged over layers of neighbors in the graph of who chose what (He 2020, eq. 3, 4).

    What an item is adds to its vector before that: of each column, a learned projection of its centered unit vector,
    times `content`. A column that an item lacks adds nothing. An item that nobody chose has only that.
    """

    batch: int = 4_096
    steps: int = 24  # each goes over the whole graph
    learning_rate: float = 0.02
    negatives: int = 1_024
    layers: int = 4
    content: float = 0.3
    user_ids: bool = True  # whether users have vectors of their own; if not, they are what they chose

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → small random vectors, and a map a column."""
        start = super().start(dataset, rng) | self.maps(dataset, rng, self.dim)
        if not self.user_ids:
            del start["users"]
        return start

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """The mean of the vectors before and after each layer, at unit length."""
        import torch

        if self.layers < 0:
            raise OptionError(f"LightGCN: layers is {self.layers}; expected 0 or more")
        walk = normalized(dataset.seen)
        to_users, to_items = Edges(walk, self.device), Edges(walk.T.tocsr(), self.device)
        warm = self._tensor(dataset.warm[:, None])
        content = {name: self.content * vectors for name, vectors in self.content_of(dataset).items()}

        def of(weights: Weights) -> "tuple[Tensor, Tensor]":
            items = torch.where(warm, weights["items"], 0.0)  # an item that nobody chose is only what it is
            for name, vectors in content.items():
                items = items + vectors @ weights[f"content/{name}"]
            users = weights["users"] if self.user_ids else None
            users, items = propagate(users, items, to_users, to_items, self.layers)
            return torch.nn.functional.normalize(users), torch.nn.functional.normalize(items)

        return of

    def tower(self, weights: Weights, content: Blocks) -> "Tensor":
        """What an item is, at unit length (n, dim): no edge leads to it."""
        from torch.nn.functional import normalize

        return normalize(self.content * mapped(weights, content))

    def columns_of(self, dataset: Dataset) -> list[str]:
        """The columns chosen; none where `content` is 0 or the dataset has no vectors."""
        return super().columns_of(dataset) if self.content and (self.columns or dataset.column_vectors) else []
