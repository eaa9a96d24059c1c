"""Vectors that are smoothed over the graph of who chose what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, diags

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import check_vectors
from fuserec.errors import OptionError
from fuserec.recommenders.factors import SoftmaxFactors
from fuserec.recommenders.training import Arrays, Weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True, eq=False)
class LightGCN(SoftmaxFactors):
    """Vectors of users and items, averaged over layers of neighbors in the graph of who chose what (He 2020, eq. 3, 4).

    What an item is adds to its vector before that: of each column, a learned projection of its centered unit vector,
    times `content`. A column that an item lacks adds nothing. An item that nobody chose has only that.
    """

    batch: int = 4_096
    learning_rate: float = 0.02
    negatives: int = 1_024
    layers: int = 4
    content: float = 0.3
    user_ids: bool = True  # whether users have vectors of their own; if not, they are what they chose
    columns: tuple[str, ...] = ()  # which vectors; default: all but the fused ones, if there are any

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → small random vectors, and a projection a column."""
        start = super().start(dataset, rng)
        if not self.user_ids:
            del start["users"]
        for name in self._chosen_columns(dataset):
            size = dataset.embeddings[name].dim, self.dim
            start[f"project/{name}"] = 0.1 * rng.standard_normal(size, dtype=np.float32)
        return start

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """The mean of the vectors before and after each layer, at unit length."""
        import torch

        if self.layers < 0:
            raise OptionError(f"LightGCN: layers is {self.layers}; expected 0 or more")
        walk = normalized(dataset.seen)
        to_users, to_items = Edges(walk, self.device), Edges(walk.T.tocsr(), self.device)
        warm = self._tensor(dataset.warm[:, None])
        content = {
            name: self._tensor(dataset.embeddings[name].centered_unit(dataset.warm))
            for name in self._chosen_columns(dataset)
        }

        def of(weights: Weights) -> "tuple[Tensor, Tensor]":
            items = torch.where(warm, weights["items"], 0.0)  # an item that nobody chose is only what it is
            for name, vectors in content.items():
                items = items + self.content * vectors @ weights[f"project/{name}"]
            users = weights["users"] if self.user_ids else None
            users, items = propagate(users, items, to_users, to_items, self.layers)
            return torch.nn.functional.normalize(users), torch.nn.functional.normalize(items)

        return of

    def _chosen_columns(self, dataset: Dataset) -> list[str]:
        available = dataset.column_vectors
        check_vectors(self.columns, available, "LightGCN")
        return list(self.columns or sorted(available)) if self.content else []


def normalized(seen: csr_matrix) -> csr_matrix:
    """Who chose what, CSR (n_users, n_items) → each 1 divided by the root of both its degrees (He 2020, eq. 3)."""

    def scale(axis: int) -> Any:
        degree = np.asarray(seen.sum(axis=axis)).ravel()
        return diags(np.divide(1.0, np.sqrt(degree), out=np.zeros(len(degree)), where=degree > 0))

    return (scale(1) @ seen @ scale(0)).astype(np.float32).tocsr()


class Edges:
    """CSR (n, m) on a device, as rows of weighted neighbors: what `embedding_bag` sums, 5 to 10 times as fast as
    a product of torch's sparse matrix.
    """  # noqa: D205

    def __init__(self, matrix: csr_matrix, device: str) -> None:
        import torch

        self.neighbors = torch.from_numpy(matrix.indices.astype(np.int64)).to(device)
        self.offsets = torch.from_numpy(matrix.indptr[:-1].astype(np.int64)).to(device)
        self.weights = torch.from_numpy(matrix.data).to(device)

    def sums(self, vectors: "Tensor") -> "Tensor":
        """Vectors (m, d) → weighted sums of neighbors (n, d); no gradient."""
        from torch.nn.functional import embedding_bag

        return embedding_bag(self.neighbors, vectors, self.offsets, mode="sum", per_sample_weights=self.weights)


@cache
def _product() -> Any:
    import torch

    class Product(torch.autograd.Function):
        """A matrix times vectors; its gradient is the transposed matrix times the gradient: the same call."""

        @staticmethod
        def forward(context: Any, vectors: "Tensor", edges: Edges, transposed: Edges) -> "Tensor":
            context.transposed = transposed
            return edges.sums(vectors)

        @staticmethod
        def backward(context: Any, gradient: "Tensor") -> "tuple[Tensor, None, None]":
            return context.transposed.sums(gradient.contiguous()), None, None

    return Product.apply


def propagate(
    users: "Tensor | None", items: "Tensor", to_users: Edges, to_items: Edges, layers: int
) -> "tuple[Tensor, Tensor]":
    """Vectors of users (n_users, d) and items (n_items, d) → the sum of them before and after each layer.

    Without vectors of users, every second layer of each side is empty.
    """
    product = _product()
    of_users: list[Tensor | None] = [users]
    of_items: list[Tensor | None] = [items]
    for _ in range(layers):
        u, i = of_users[-1], of_items[-1]
        of_users.append(None if i is None else product(i, to_users, to_items))
        of_items.append(None if u is None else product(u, to_items, to_users))
    sums: Any = [sum(layer for layer in side if layer is not None) for side in (of_users, of_items)]
    return sums[0], sums[1]
