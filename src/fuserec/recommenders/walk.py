"""Random walks over users and items, and over items that are alike; nothing is trained by gradient."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import check_vectors
from fuserec.device import one_thread
from fuserec.errors import DataError, OptionError
from fuserec.recommenders.edges import Edges
from fuserec.recommenders.recommender import HistoryRecommender, Rows, Scores, shares
from fuserec.retrieval import enlarged, grown_graph, symmetric_graph

WIDE = 32  # users in a block from which it pays to import torch
FEW = 0.1  # share of places with walkers, up to which only the edges that leave those are looked at
WALKERS = 32  # columns that walk at the same time: where they are fits into the cache of a core
Mass = NDArray[np.float32]  # (n_items, b): where b walkers are; a column sums to at most 1


@dataclass(kw_only=True, eq=False)
class RandomWalk(HistoryRecommender):
    """Where a walker ends who starts at an item of the history and goes on over users and items (Cooper 2014, P3).

    A hop leads from an item to a random user who chose it, and on to a random item which that user chose.
    """

    hops: int = 2
    discount: float = 0.0  # scores are divided by popularity to this power (Paudel 2017, RP3beta)

    def learn(self, dataset: Dataset) -> None:
        """The two transition matrices, stored for walkers in columns."""
        if self.hops < 1:
            raise OptionError(f"{type(self).__name__}: hops is {self.hops}; expected 1 or more")
        chosen_by = dataset.seen.T.tocsr()
        self.to_users_ = _stochastic(chosen_by).T.tocsr()  # (n_users, n_items): from items to users
        self.to_items_ = _stochastic(dataset.seen).T.tocsr()  # (n_items, n_users): from users to items

    def score_history(self, history: csr_matrix) -> Scores:
        """Histories (b, n_items) → the probability of each item after `hops` hops, discounted, float32 (b, n_items)."""
        scores: Scores = np.empty(history.shape, np.float32)
        for start in range(0, len(scores), WALKERS):
            mass = self._walked(_start(history[start : start + WALKERS]))
            scores[start : start + WALKERS] = self._discounted(mass).T
        return scores

    def _walked(self, mass: Mass) -> Mass:
        """Walkers at their first items → where they are after all hops."""
        for _ in range(self.hops):
            mass = self._community_hop(mass)
        return mass

    def _community_hop(self, mass: Mass) -> Mass:
        starts = _few(mass)
        if starts is None:
            return _moved(_moved(mass, self.to_users_), self.to_items_)
        # The rows of `to_items_` are the edges that leave items, and those of `to_users_` leave users, but each with
        # the weight of the way back: 1 / history length of the user, 1 / popularity of the item.
        popularity = np.maximum(self.popularity_, np.float32(1.0))[:, None]
        at_users = _moved_from(starts, np.divide(mass, popularity, dtype=np.float32), self.to_items_)
        users = np.flatnonzero(at_users.any(axis=1))
        arrived: Mass = popularity * _moved_from(users, at_users, self.to_users_)
        return arrived

    def _discounted(self, mass: Mass) -> Mass:
        if not self.discount:
            return mass
        return (mass * np.maximum(self.popularity_, 1.0)[:, None] ** -self.discount).astype(np.float32)


@dataclass(kw_only=True, eq=False)
class ContentWalk(RandomWalk):
    """The walk over users and items, with a share of each hop over items that are alike, column by column.

    From an item, the share `content` of the walkers moves to items that are near by title, picture, sound, ...: by each
    column that the item has, as its weight says. The others move over the community as in `RandomWalk`. From an item
    that nobody chose, all move by content. Edges lead both ways, so that a new item is reached from those it is like.
    The score adds up all hops, later ones faded by `fade`.

    graphs_: column → CSR (n_items, n_items), symmetric, cosines of near items
    scales_: column → float32 (n_items,); graph times scale is the share of an item's walkers that take an edge
    by_content_: CSR (n_items, n_items), the sum of those over the columns, from a column's item to a row's
    content_share_: float32 (n_items,), the share of an item's walkers that move by content
    """

    hops: int = 1
    discount: float = 0.3  # behavior that follows popularity, as in short video, wants 0, content=0.1 and more hops
    content: float = 0.3
    fade: float = 0.5
    neighbors: int = 50  # content edges of an item and column
    columns: tuple[str, ...] = ()  # which vectors; default: all but the fused ones
    weights: Mapping[str, float] = field(default_factory=dict)  # column → weight, 1 where not named

    def learn(self, dataset: Dataset) -> None:
        """The transition matrices, and a content graph a column."""
        super().learn(dataset)
        if not 0.0 <= self.content <= 1.0:
            raise OptionError(f"ContentWalk: content is {self.content}; expected a share from 0 to 1")
        self.graphs_ = {}
        for name in self._chosen_columns(dataset):
            embeddings = dataset.embeddings[name]
            unit = embeddings.centered_unit(dataset.warm)
            self.graphs_[name] = symmetric_graph(unit, self.neighbors, embeddings.present)
        self._weigh()

    def extend(self) -> None:
        """Content edges of the new items; nobody leads to them, nor they to anybody."""
        n_users, n_items = self.to_users_.shape[0], self.catalog_.n_items  # of training; a session has other users
        self.to_users_ = enlarged(self.to_users_, (n_users, n_items))
        self.to_items_ = enlarged(self.to_items_, (n_items, n_users))
        graphs = {}
        for name, graph in self.graphs_.items():
            embeddings = self.embeddings_[name]
            unit = embeddings.centered_unit(self.popularity_ > 0)
            graphs[name] = grown_graph(graph, unit, self.neighbors, embeddings.present)
        self.graphs_ = graphs
        self._weigh()

    def _weigh(self) -> None:
        """From the content graphs, how many walkers take which edge."""
        total = {name: np.asarray(graph.sum(axis=1)).ravel() for name, graph in self.graphs_.items()}
        weight = {name: np.where(total[name] > 0, self.weights.get(name, 1.0), 0.0) for name in total}
        leaving = np.sum(list(weight.values()), axis=0)  # 0 where no content edge
        self.scales_ = {
            name: np.divide(
                weight[name], total[name] * leaving, out=np.zeros_like(leaving), where=weight[name] > 0
            ).astype(np.float32)
            for name in total
        }
        by_column = (graph @ diags(self.scales_[name]) for name, graph in self.graphs_.items())
        self.by_content_ = csr_matrix(sum(by_column), dtype=np.float32)
        # Nobody chose it: all by content. No content edge: all over the community.
        lean = np.where(self.popularity_ > 0, np.where(leaving > 0, self.content, 0.0), 1.0)
        self.content_share_ = lean.astype(np.float32)  # (n_items,)

    def _chosen_columns(self, dataset: Dataset) -> list[str]:
        available = list(dataset.column_vectors)
        check_vectors((*self.columns, *self.weights), available, "ContentWalk")
        columns = list(self.columns) or sorted(available)
        if not columns:
            raise DataError("ContentWalk needs vectors; encode the dataset first, or use RandomWalk")
        return columns

    def _walked(self, mass: Mass) -> Mass:
        """The faded sum of where they are after each hop."""
        total = np.zeros_like(mass)
        for hop in range(self.hops):
            by_content = self.content_share_[:, None] * mass
            mass = self._community_hop(mass - by_content)
            mass += self._content_hop(by_content)
            total += np.float32(self.fade**hop) * mass
        return total

    def _content_hop(self, mass: Mass) -> Mass:
        starts = _few(mass)
        if starts is None:
            return _moved(mass, self.by_content_)
        moved: Mass = np.zeros_like(mass)
        for name, graph in self.graphs_.items():  # symmetric: its rows are the edges that leave
            moved += _moved_from(starts, self.scales_[name][:, None] * mass, graph)
        return moved

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → the share of the score that arrived by each column and by the community."""
        if self.goes_by_popularity(user):
            return [{"popularity": 1.0} for _ in items]
        mass = _start(self.seen_[[user]])
        arrived = {name: np.zeros(len(items)) for name in ("community", *self.graphs_)}
        for hop in range(self.hops):
            by_content = self.content_share_[:, None] * mass
            hopped = {"community": self._community_hop(mass - by_content)}
            hopped |= {name: graph @ (self.scales_[name][:, None] * by_content) for name, graph in self.graphs_.items()}
            for name, part in hopped.items():
                arrived[name] += self.fade**hop * part[items, 0]
            mass = np.sum(list(hopped.values()), axis=0)
        parts = np.stack(list(arrived.values()))  # (1 + n_columns, m)
        return [shares(list(arrived), column) for column in parts.T]


def _stochastic(matrix: csr_matrix) -> csr_matrix:
    """CSR → the same with rows that sum to 1; empty rows stay empty."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return (diags(np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)) @ matrix).astype(np.float32).tocsr()


def _start(history: csr_matrix) -> Mass:
    start: Mass = _stochastic(history).T.tocsr().toarray()
    return start


def _few(mass: Mass) -> Rows | None:
    """Walkers (n, b) → the rows where there are any; None where these are too many to go through one by one."""
    rows = np.flatnonzero(mass.any(axis=1))
    return rows if mass.shape[1] < WIDE and len(rows) <= FEW * len(mass) else None


def _moved_from(rows: Rows, mass: Mass, leaving: csr_matrix) -> Mass:
    """As `_moved`, for walkers that are at `rows` only, and edges CSR (n, m) by where they leave."""
    moved: Mass = leaving[rows].T @ mass[rows]
    return moved


def _moved(mass: Mass, edges: csr_matrix) -> Mass:
    """Walkers (n, b) and edges CSR (m, n) → where they are then (m, b).

    The product of a sparse matrix. For many users, torch's `embedding_bag` makes it 3 times as fast as SciPy.
    """
    moved: Mass
    if mass.shape[1] < WIDE:
        moved = edges @ mass
        return moved
    import torch

    with one_thread:
        moved = Edges(edges).sums(torch.from_numpy(mass)).numpy()
    return moved
