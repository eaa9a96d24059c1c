"""Vectors smoothed over who chose what and over frozen graphs of items that are alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.errors import OptionError
from fuserec.recommenders.content import columns_named
from fuserec.recommenders.edges import Edges, normalized, product, propagate
from fuserec.recommenders.factors import Batches, SoftmaxFactors, small
from fuserec.recommenders.recommender import Rows
from fuserec.recommenders.training import Arrays, Weights
from fuserec.retrieval import neighbor_graph

if TYPE_CHECKING:
    from torch import Tensor

Graphs = dict[str, csr_matrix]


@dataclass(kw_only=True, eq=False)
class FREEDOM(SoftmaxFactors):
    """Items are what who chose them says, and what the items that are alike say (Zhou and Shen 2023, FREEDOM).

    Vectors are smoothed as in `LightGCN` over who chose what; to that of an item, the mean of the vectors of its
    `neighbors` nearest is added, column by column, over graphs that are made once and stay (eq. 4 and 8). In each epoch
    a share `drop` of all interactions is left out of the smoothing, those of popular items and busy users first
    (eq. 5). Of each column that an item lacks, it has no neighbors and is none. Unlike the paper: the loss is a softmax
    over many negatives, and there is no second loss of content mapped to vectors.

    told_: column → float32 (n_items, dim), what each item tells those that it is like
    """

    batch: int = 4_096
    learning_rate: float = 0.02
    negatives: int = 1_024
    layers: int = 3  # over who chose what
    neighbors: int = 10  # of an item, in each column
    drop: float = 0.5
    like: float = 1.0  # weight of what the items that are alike say
    gate: bool = False  # whether an item tells in a column only what its content lets through (Yu 2023, MGCN, eq. 3)
    columns: tuple[str, ...] = ()  # which vectors; default: all but the fused ones

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → small random vectors, and open gates."""
        start = super().start(dataset, rng)
        if self.gate:
            for name in self._columns(dataset):
                start[f"gate/{name}"] = small(rng, dataset.embeddings[name].dim, self.dim)
                start[f"gate-bias/{name}"] = np.zeros(self.dim, np.float32)
        return start

    def tables(self, dataset: Dataset) -> "Callable[[Weights], tuple[Tensor, Tensor]]":
        """Both kinds of smoothing, added up, over all interactions."""
        smooth, walk = self._smoothing(dataset), self._both_ways(normalized(dataset.seen))
        return lambda weights: smooth(weights, *walk)

    def batches(self, dataset: Dataset) -> Batches:
        """The same, over the interactions kept in this epoch."""
        from torch.nn.functional import embedding

        smooth, state = self._smoothing(dataset), _Kept(dataset.seen, self.drop)

        def of(weights: Weights, users: Rows, chosen: Rows, rng: np.random.Generator) -> "tuple[Tensor, Tensor]":
            if state.of is not rng:  # the loop has one source of chance an epoch
                state.draw(rng)
                state.edges = self._both_ways(normalized(state.kept))
            of_users, of_items = smooth(weights, *state.edges)
            return embedding(self._tensor(users), of_users), of_items

        return of

    def keep(self, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
        """The vectors of users and items, and what items tell those that are like them."""
        told = self._telling(dataset)(weights)
        self.told_ = {name: value.cpu().numpy() for name, value in told.items()}
        return super().keep(dataset, weights)

    def extend(self) -> None:
        """New items are what the known items that are like them tell."""
        n_known = len(self.item_vectors_)
        embeddings = {name: self.embeddings_[name] for name in self.told_}
        graphs = content_graphs(embeddings, self.popularity_ > 0, self.neighbors)
        heard = sum(graph[n_known:, :n_known] @ self.told_[name] for name, graph in graphs.items())
        new = self.like * heard
        length = np.linalg.norm(new, axis=1, keepdims=True)
        new = np.divide(new, length, out=np.zeros_like(new), where=length > 0).astype(np.float32)
        self.item_vectors_ = np.concatenate([self.item_vectors_, new])
        nothing = np.zeros_like(new)  # nobody chose them, so they tell nothing
        self.told_ = {name: np.concatenate([told, nothing]) for name, told in self.told_.items()}

    def _columns(self, dataset: Dataset) -> list[str]:
        return columns_named(dataset, self.columns, "FREEDOM")

    def _both_ways(self, walk: csr_matrix) -> tuple[Edges, Edges]:
        return Edges(walk, self.device), Edges(walk.T.tocsr(), self.device)

    def _telling(self, dataset: Dataset) -> "Callable[[Weights], dict[str, Tensor]]":
        """Weights → column → what each item tells, (n_items, dim)."""
        import torch

        warm = self._tensor(dataset.warm[:, None])
        columns = self._columns(dataset)
        content = {}
        if self.gate:
            content = {n: self._tensor(dataset.embeddings[n].centered_unit(dataset.warm)) for n in columns}

        def of(weights: Weights) -> "dict[str, Tensor]":
            items = torch.where(warm, weights["items"], 0.0)  # an item that nobody chose tells nothing
            if not self.gate:
                return dict.fromkeys(columns, items)
            return {
                name: items * 2 * torch.sigmoid(block @ weights[f"gate/{name}"] + weights[f"gate-bias/{name}"])
                for name, block in content.items()
            }

        return of

    def _smoothing(self, dataset: Dataset) -> "Callable[[Weights, Edges, Edges], tuple[Tensor, Tensor]]":
        import torch
        from torch.nn.functional import normalize

        if self.layers < 0 or not 0.0 <= self.drop < 1.0:
            raise OptionError(
                f"FREEDOM: layers is {self.layers}, drop {self.drop}; expected 0 or more, and a share below 1"
            )
        chosen = {name: dataset.embeddings[name] for name in self._columns(dataset)}
        graphs = content_graphs(chosen, dataset.warm, self.neighbors)
        if not self.gate:  # every column tells the same, so that one sum is enough
            graphs = {next(iter(graphs)): sum(graphs.values())}
        alike = {name: self._both_ways(graph.tocsr()) for name, graph in graphs.items()}
        telling = self._telling(dataset)
        warm = self._tensor(dataset.warm[:, None])

        def of(weights: Weights, to_users: Edges, to_items: Edges) -> "tuple[Tensor, Tensor]":
            own = torch.where(warm, weights["items"], 0.0)
            users, items = propagate(weights["users"], own, to_users, to_items, self.layers)
            told = telling(weights)
            for name, edges in alike.items():
                items = items + self.like * product(told[name], *edges)
            return normalize(users), normalize(items)

        return of


class _Kept:
    """The interactions that smoothing uses in an epoch."""

    edges: tuple[Edges, Edges]

    def __init__(self, seen: csr_matrix, drop: float) -> None:
        self.pairs, self.shape = seen.tocoo(), seen.shape
        self.n = max(1, round((1.0 - drop) * seen.nnz))
        busy, popular = (np.asarray(seen.sum(axis=axis)).ravel() for axis in (1, 0))
        self.chance = 1.0 / np.sqrt(busy[self.pairs.row] * popular[self.pairs.col])  # eq. 5
        self.of: np.random.Generator | None = None

    def draw(self, rng: np.random.Generator) -> None:
        """`n` of them without putting back, each as likely as `chance` says (Efraimidis and Spirakis 2006)."""
        self.of = rng
        luck = rng.exponential(size=len(self.chance)) / self.chance
        rows = np.argpartition(luck, self.n - 1)[: self.n]
        places = self.pairs.row[rows], self.pairs.col[rows]
        self.kept = csr_matrix((self.pairs.data[rows], places), shape=self.shape)


def content_graphs(embeddings: dict[str, Embeddings], warm: NDArray[np.bool_], neighbors: int) -> Graphs:
    """Columns → CSR (n_items, n_items): the nearest of each item among those that somebody chose, all alike.

    Made block by block. An item's weights sum to 1 over its columns: those that it lacks leave theirs to the others.
    """
    graphs = {}
    for name, column in embeddings.items():
        graphs[name] = neighbor_graph(column.centered_unit(warm), neighbors, column.present, among=warm)
        graphs[name].data[:] = 1.0
    degree = {name: np.asarray(graph.sum(axis=1)).ravel() for name, graph in graphs.items()}
    has = np.sum([d > 0 for d in degree.values()], axis=0)  # columns in which an item has neighbors
    for name, graph in graphs.items():
        weight = np.divide(1.0, degree[name] * has, out=np.zeros(len(has)), where=degree[name] > 0)
        graphs[name] = (diags(weight) @ graph).astype(np.float32).tocsr()
    return graphs
