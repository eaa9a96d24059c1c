"""Products of sparse matrices with vectors that are learned: sums over neighbors in a graph."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, diags

if TYPE_CHECKING:
    from torch import Tensor


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

    def __init__(self, matrix: csr_matrix, device: str = "cpu") -> None:
        import torch

        self.neighbors = torch.from_numpy(matrix.indices).to(device)
        self.offsets = torch.from_numpy(matrix.indptr[:-1]).to(device)
        self.weights = torch.from_numpy(matrix.data).to(device)

    def sums(self, vectors: "Tensor") -> "Tensor":
        """Vectors (m, d) → weighted sums of neighbors (n, d); no gradient."""
        from torch.nn.functional import embedding_bag

        return embedding_bag(self.neighbors, vectors, self.offsets, mode="sum", per_sample_weights=self.weights)


@cache
def _make_product() -> Any:
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


def product(vectors: "Tensor", edges: Edges, transposed: Edges) -> "Tensor":
    """Vectors (m, d), a matrix (n, m) and the same transposed → the product (n, d), with a gradient."""
    result: Tensor = _make_product()(vectors, edges, transposed)
    return result


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
