"""Vectors that are smoothed over the graph of who chose what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, diags

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError, did_you_mean
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
    steps: int = 24  # each goes over the whole graph
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
        for name in self.columns:
            if name not in available:
                known = ", ".join(available) or "none"
                raise OptionError(f"LightGCN: no vectors {name!r}{did_you_mean(name, available)} There are: {known}.")
        return list(self.columns or sorted(available)) if self.content else []


def normalized(seen: csr_matrix) -> csr_matrix:
    """Who chose what, CSR (n_users, n_items) → each 1 divided by the root of both its degrees (He 2020, eq. 3)."""

    def scale(axis: int) -> Any:
        degree = np.asarray(seen.sum(axis=axis)).ravel()
        return diags(np.divide(1.0, np.sqrt(degree), out=np.zeros(len(degree)), where=degree > 0))

    return (scale(1) @ seen @ scale(0)).astype(np.float32).tocsr()


class Edges:
    """CSR (n, m) on a device, as rows of weighted neighbors: what `embedding_bag` sums, several times as fast
    as a product of torch's sparse matrix (benchmarks/speed.py).
    """  # noqa: D205

    def __init__(self, matrix: csr_matrix, device: str) -> None:
        import torch

        self.neighbors = torch.from_numpy(matrix.indices).to(device)
        self.offsets = torch.from_numpy(matrix.indptr[:-1]).to(device)
        self.weights = torch.from_numpy(matrix.data).to(device)

    def sums(self, vectors: "Tensor") -> "Tensor":
        """Vectors (m, d) → weighted sums of neighbors (n, d); no gradient."""
        from torch.nn.functional import embedding_bag

        return embedding_bag(self.neighbors, vectors, self.offsets, mode="sum", per_sample_weights=self.weights)


@cache
def _smoothing() -> Any:
    import torch

    def smooth(users: "Tensor | None", items: "Tensor", to_users: Edges, to_items: Edges, layers: int) -> Any:
        # x + Ax + AAx as x + A(x + Ax), in place: no layer is kept, and what is added up is still in the cache.
        u, i = users, items
        for _ in range(layers):
            of_users = to_users.sums(i)
            i = items if u is None else to_items.sums(u).add_(items)
            u = of_users if users is None else of_users.add_(users)
        return torch.zeros(len(to_users.offsets), items.shape[1], device=items.device) if u is None else u, i

    class Smoothing(torch.autograd.Function):
        """The sum over layers. The graph is symmetric, so a gradient goes back through the same sum."""

        @staticmethod
        def forward(context: Any, *given: Any) -> Any:
            context.has_users, context.graph = given[0] is not None, given[2:]
            return smooth(*given)

        @staticmethod
        def backward(context: Any, *gradients: "Tensor") -> Any:
            of_users, of_items = (gradient.contiguous() for gradient in gradients)
            users, items = smooth(of_users, of_items, *context.graph)
            return users if context.has_users else None, items, None, None, None

    return Smoothing.apply


def propagate(
    users: "Tensor | None", items: "Tensor", to_users: Edges, to_items: Edges, layers: int
) -> "tuple[Tensor, Tensor]":
    """Vectors of users (n_users, d) and items (n_items, d) → the sum of them before and after each layer.

    Without vectors of users, every second layer of each side is empty.
    """
    users, items = _smoothing()(users, items, to_users, to_items, layers)
    return users, items
