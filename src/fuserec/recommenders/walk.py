"""Random walks over users and items, and over items that are alike; nothing is trained by gradient."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack, vstack

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import check_vectors
from fuserec.device import n_threads, one_thread
from fuserec.errors import DataError, OptionError
from fuserec.recommenders.edges import Edges
from fuserec.recommenders.reach import Reached, summed
from fuserec.recommenders.recommender import HistoryRecommender, Rows, Scores, shares
from fuserec.retrieval import MOST_EXACT, enlarged, grown_graph, sparse_top_k, symmetric_graph

WIDE = 32  # users in a block from which it pays to import torch
FEW = 0.1  # share of places with walkers, up to which only the edges that leave those are looked at
WALKERS = 32  # columns that walk at the same time: where they are fits into the cache of a core
SELDOM = 4  # of items that nobody chose, which walkers seldom reach, the table has a quarter of `kept` a row
FEW_ITEMS = 2_000  # up to so many, all are walked from again when items are added: in a tenth of a second
Mass = NDArray[np.float32]  # (n_items, b): where b walkers are; a column sums to at most 1


@dataclass(kw_only=True, eq=False)
class RandomWalk(HistoryRecommender):
    """Where a walker ends who starts at an item of the history and goes on over users and items (Cooper 2014, P3).

    A hop leads from an item to a random user who chose it, and on to a random item which that user chose. Where walkers
    from each item end is found once, and a user's score is the mean over the items of the history. Of each item the
    `kept` best are remembered, and zero is the score of what none of a history leads to.

    walks_: float32 CSR (n_items, n_items), from a row's item to others, discounted; None: walks are made for each user
    """

    hops: int = 2
    discount: float = 0.0  # scores are divided by popularity to this power (Paudel 2017, RP3beta)
    kept: int = 400  # ends of walks remembered an item, in catalogs of up to 20,000 items; 0: none, every user walks

    def learn(self, dataset: Dataset) -> None:
        """The edges, and where walks from each item end."""
        if self.hops < 1 or self.kept < 0:
            raise OptionError(
                f"{type(self).__name__}: hops is {self.hops}, kept {self.kept}; expected 1 or more, and 0 or more"
            )
        self.learn_edges(dataset)
        remembers = self.kept and dataset.n_items <= MOST_EXACT
        self.walks_ = self._walks_from(np.arange(dataset.n_items)) if remembers else None

    def learn_edges(self, dataset: Dataset) -> None:
        """The two transition matrices, stored for walkers in columns."""
        self.to_users_ = _arriving(dataset.seen)  # (n_users, n_items): from items to users
        self.to_items_ = _arriving(dataset.seen.T.tocsr())  # (n_items, n_users): from users to items

    def score_history(self, history: csr_matrix) -> Scores:
        """Histories (b, n_items) → the probability of each item after `hops` hops, discounted, float32 (b, n_items)."""
        if self.walks_ is None:
            return self._walk(history)
        total = history @ self.walks_
        total.data /= np.repeat(np.diff(history.indptr), np.diff(total.indptr)).astype(np.float32)
        scores: Scores = total.toarray()
        return scores

    def reach(self, user: int, history: Rows, k: int) -> Reached | None:
        """The items that remembered walks from those of the history lead to; None where none are remembered."""
        if self.walks_ is None:
            return None
        rows, total = summed(self.walks_, history, self.popularity_)
        return rows, total / np.float32(max(1, len(np.unique(history))))

    def _walk(self, history: csr_matrix) -> Scores:
        """As `score_history`, with nothing remembered or left out."""
        scores: Scores = np.empty(history.shape, np.float32)
        for start in range(0, len(scores), WALKERS):
            mass = self._walked(_start(history[start : start + WALKERS]))
            scores[start : start + WALKERS] = self._discounted(mass).T
        return scores

    def _walks_from(self, items: Rows) -> csr_matrix:
        """Item rows (m,) → CSR (m, n_items): the best ends of walks from each, of chosen and of other items."""
        n_items = len(self.popularity_)
        chosen, others = np.flatnonzero(self.popularity_), np.flatnonzero(self.popularity_ == 0)

        def of_block(start: int) -> csr_matrix:
            rows = items[start : start + WALKERS]
            one_each = csr_matrix((np.ones(len(rows), np.float32), (np.arange(len(rows)), rows)), (len(rows), n_items))
            scores = self._walk(one_each)
            return _largest(scores, chosen, self.kept) + _largest(scores, others, self.kept // SELDOM)

        with ThreadPoolExecutor(n_threads()) as pool:
            return vstack(list(pool.map(of_block, range(0, len(items), WALKERS))), "csr")

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
    content_share_: float32 (n_items,), the share of an item's walkers that move by content
    """

    hops: int = 1
    discount: float = 0.3  # behavior that follows popularity, as in short video, wants 0, content=0.1 and more hops
    content: float = 0.3
    fade: float = 0.5
    neighbors: int = 50  # content edges of an item and column
    columns: tuple[str, ...] = ()  # which vectors; default: all but the fused ones
    weights: Mapping[str, float] = field(default_factory=dict)  # column → weight, 1 where not named

    def learn_edges(self, dataset: Dataset) -> None:
        """The transition matrices, and a content graph a column."""
        super().learn_edges(dataset)
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
        self.graphs_, before = graphs, self.scales_
        self._weigh()
        if self.walks_ is not None:
            self.walks_ = self._grown(self.walks_, before)

    def _grown(self, walks: csr_matrix, before: Mapping[str, NDArray[np.float32]]) -> csr_matrix:
        """The walks of the first items, and `scales_` before there were more → the walks of all.

        Walked again: from new items, and from those whose content edges changed. From all others, walks to new items
        are those that lead back from these, and walks to known items stay as they were: what changed is a hop or more
        away. Few items or many new ones are walked from altogether.
        """
        n_known, n_items = walks.shape[0], self.catalog_.n_items
        if n_items <= FEW_ITEMS or n_items - n_known > WALKERS:
            return self._walks_from(np.arange(n_items))
        changed = [self.scales_[name][:n_known] != scale for name, scale in before.items()]  # edges came or went
        again = np.concatenate([np.flatnonzero(np.any(changed, axis=0)), np.arange(n_known, n_items)])
        chosen = self.popularity_ > 0
        known = enlarged(walks, (n_items, n_items))
        to_new = np.zeros((n_items, n_items - n_known), np.float32)
        to_new[n_known:] = np.eye(n_items - n_known)
        to_new = hstack([csr_matrix((n_items, n_known), dtype=np.float32), self._walked_back(to_new)], "csr")
        to_others = sparse_top_k(known @ diags(np.float32(~chosen)) + to_new, self.kept // SELDOM)
        grown = known @ diags(np.float32(chosen)) + to_others
        stays = np.ones(n_items, np.float32)
        stays[again] = 0.0
        place = csr_matrix((np.ones(len(again), np.float32), (again, np.arange(len(again)))), (n_items, len(again)))
        walked: csr_matrix = diags(stays) @ grown + place @ self._walks_from(again)
        walked.eliminate_zeros()
        return walked.tocsr()

    def _walked_back(self, mass: Mass) -> Mass:
        """As `_walked`, against the edges: what of those who start at each item gets to where `mass` is."""
        total = np.zeros_like(mass)
        for hop in range(self.hops):
            over_community = self.to_users_.T @ (self.to_items_.T @ mass)
            by_content = sum(self.scales_[name][:, None] * (graph @ mass) for name, graph in self.graphs_.items())
            mass = over_community + self.content_share_[:, None] * (by_content - over_community)
            total += np.float32(self.fade**hop) * mass
        return total

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
        vars(self).pop("by_content", None)  # of the graphs before
        # Nobody chose it: all by content. No content edge: all over the community.
        lean = np.where(self.popularity_ > 0, np.where(leaving > 0, self.content, 0.0), 1.0)
        self.content_share_ = lean.astype(np.float32)  # (n_items,)

    @cached_property
    def by_content(self) -> csr_matrix:
        """CSR (n_items, n_items), float32: the graphs times their scales, summed; from a column's item to a row's.

        Many walkers at once go by it; a server of a large catalog does not need it.
        """
        return sum(
            csr_matrix((graph.data * self.scales_[name][graph.indices], graph.indices, graph.indptr), graph.shape)
            for name, graph in self.graphs_.items()
        )

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
        if starts is None and mass.shape[1] >= WIDE:
            return _moved(mass, self.by_content)
        moved: Mass = np.zeros_like(mass)
        for name, graph in self.graphs_.items():  # symmetric: its rows are the edges that leave
            leaving = self.scales_[name][:, None] * mass
            moved += graph @ leaving if starts is None else _moved_from(starts, leaving, graph)
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


def _arriving(edges: csr_matrix) -> csr_matrix:
    """Edges CSR of ones, from a column to a row → the share of a column's walkers that take each; columns sum to 1."""
    leaving = np.bincount(edges.indices, minlength=edges.shape[1])
    weights = (1.0 / np.maximum(leaving, 1)).astype(np.float32)
    return csr_matrix((weights[edges.indices], edges.indices, edges.indptr), shape=edges.shape)


def _largest(scores: Scores, columns: Rows, k: int) -> csr_matrix:
    """Scores (b, n) → CSR (b, n), of these columns the up to `k` largest of each row that are above 0."""
    import torch

    with one_thread:  # eight times as fast as `retrieval.top_k` where most scores are 0
        best = torch.topk(torch.from_numpy(scores[:, columns]), min(k, len(columns)), sorted=False).indices.numpy()
    best = columns[best]
    row = np.repeat(np.arange(len(scores)), best.shape[1])
    found = csr_matrix((scores[row, best.ravel()], (row, best.ravel())), scores.shape)
    found.eliminate_zeros()
    return found


def _start(history: csr_matrix) -> Mass:
    start: Mass = _arriving(history.T.tocsr()).toarray()
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
