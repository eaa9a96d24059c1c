"""Models that read a history in its order: what comes next."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import check_vectors, cosines, unit
from fuserec.data.history import NOTHING
from fuserec.device import check_device, one_thread
from fuserec.errors import DataError, OptionError
from fuserec.recommenders.recommender import OnProgress, Rows, Scores, shares
from fuserec.recommenders.training import Arrays, HeldOut, TrainedRecommender, Weights
from fuserec.recommenders.windows import (
    GAPS,
    MASK,
    VIEWS,
    View,
    augmentations,
    gap_buckets,
    hold_out_last,
    principal,
    trimmed,
    two_views,
    windows_of,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

AT_ONCE = 512  # histories that are read at the same time


@dataclass(kw_only=True, eq=False)
class SequentialRecommender(TrainedRecommender):
    """A network that reads the last items of a history, and scores what comes next by products with vectors of items.

    An item's vector is one of its own (`ids`) plus, of each column, a learned projection of its centered unit vector,
    times `content`; what is read and what is scored share it. An item that nobody chose has only the second part, and
    so is ranked without having been in training. In training, vectors of their own are left out at random
    (`id_dropout`, DropoutNet: Volkovs 2017), so that what items are learns to speak for them alone.

    Every item of a history is predicted from those before it, by a softmax over the items that somebody chose, or over
    `negatives` of them where there are more. The order is that of times, and of the rows of the file where times tie or
    are not known. Histories are padded on the left. Users without one get what is popular.

    weights_: of the network; ids_, item_vectors_: float32 (n_items, dim); centers_: column → float32 (dim_m,)
    """

    epochs: int = 16
    patience: int = 4
    learning_rate: float = 5e-3
    batch: int = 64  # windows of histories in a gradient step
    dim: int = 64
    length: int = 50  # the last items of a history that are read
    ids: bool = True
    content: float = 1.0
    columns: tuple[str, ...] = ()  # which vectors; default: all but the fused ones, if there are any
    id_dropout: float = 0.0  # share of items
    dropout: float = 0.2
    negatives: int = 512  # drawn a step, all items alike; 0, or more than there are: all that somebody chose
    gaps: bool = False  # whether the time between items is read, in buckets of its logarithm; needs times
    contrast: float = 0.0  # weight of a second task: to tell two views of a history from others (CL4SRec: Xie 2022)
    views: tuple[View, ...] = VIEWS
    contrast_temperature: float = 0.2

    @abstractmethod
    def network(self, rng: np.random.Generator) -> Arrays:
        """The weights of the network before the first step."""

    @abstractmethod
    def read(
        self, weights: Weights, inputs: "Tensor", real: "Tensor", ages: "Tensor", chance: "Generator | None"
    ) -> "Tensor":
        """Vectors of items (b, l, d) and which are real (b, l) → what was read until each, (b, l, n, d), n readings.

        ages: when it was, in days, or in places where times are not known, (b, l). chance: of dropout, or None.
        """

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Learn from windows of the histories, then make the vectors of all items."""
        check_device(self.device)  # before tensors of the dataset are put there
        self._check(dataset)
        part = dataset
        if validation is None:
            part, validation = hold_out_last(dataset, self.seed)
        history, warm = part.history, np.flatnonzero(part.warm)
        users, ends = windows_of(history, self.length)
        if not len(users):
            raise DataError(
                f"{type(self).__name__}: no user of {dataset.name} has two items, so nothing comes next; "
                "use a model that needs no order, such as ContentWalk"
            )
        self.centers_ = {name: dataset.embeddings[name].center(part.warm) for name in self._chosen_columns(dataset)}
        columns = self._content()
        bases = {name: principal(vectors[warm]) for name, vectors in columns.items()}
        content = {name: self._tensor(vectors @ bases[name]) for name, vectors in columns.items()}
        described = np.any([np.zeros(part.n_items, bool), *(v.any(axis=1) for v in columns.values())], axis=0)
        has_content = self._tensor(described)
        judges = HeldOut.of(part.seen, validation.seen, self.seed).blocks()
        all_rows, is_warm = self._tensor(np.arange(part.n_items)), self._tensor(part.warm[:, None])
        chosen = augmentations(self.views)

        def vectors(weights: Weights, rows: "Tensor", chance: "Generator | None") -> "Tensor":
            import torch

            own = torch.zeros((len(rows), self.dim), device=self.device)
            if self.ids:
                own = torch.where(is_warm[rows], weights["ids"][rows], own)
                if chance is not None and self.id_dropout:
                    drawn = torch.rand(len(rows), generator=chance, device=self.device) < self.id_dropout
                    own = torch.where((drawn & has_content[rows])[:, None], torch.zeros_like(own), own)
            for name, of_column in content.items():
                own = own + self.content * of_column[rows] @ weights[f"project/{name}"]
            return own

        def loss(weights: Weights, rows: Rows, rng: np.random.Generator) -> "Tensor":
            import torch
            from torch.nn.functional import embedding

            items, times = trimmed(*history.windows(users[rows], ends[rows], self.length + 1))
            read, after = items[:, :-1], items[:, 1:]
            real = read != NOTHING
            every = not 0 < self.negatives < len(warm)
            drawn = warm if every else rng.choice(warm, self.negatives)
            used = warm if every else np.unique(np.concatenate([drawn, items[items != NOTHING]]))
            place = np.empty(part.n_items + 2, np.int64)  # of an item in `used`; MASK and NOTHING count from the end
            place[[MASK, NOTHING]] = len(used), len(used) + 1
            place[used] = np.arange(len(used))
            chance = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
            table = vectors(weights, self._tensor(used), chance)  # (m, d)
            padded = torch.cat([table, weights["mask"], torch.zeros_like(weights["mask"])])
            states = self._read(weights, padded, place[read], real, times[:, :-1], chance)[self._tensor(real)]
            wanted = self._tensor(place[after[real]])
            right = embedding(wanted, table)  # (p, d)
            if states.shape[1] > 1:  # of several readings, the one that fits best (Cen 2020, eq. 8)
                best = torch.einsum("pnd,pd->pn", states, right).argmax(1)
                states = states[torch.arange(len(best)), best]
            else:
                states = states[:, 0]
            if every:
                total = torch.nn.functional.cross_entropy(states @ table.T, wanted)
            else:
                others = states @ embedding(self._tensor(place[drawn]), table).T
                both = torch.cat([(states * right).sum(-1, keepdim=True), others], 1)
                total = torch.nn.functional.cross_entropy(both, torch.zeros_like(wanted))
            if self.contrast:
                views = [place[view] for view in two_views(read, chosen, rng)]
                total = total + self.contrast * self._contrast(weights, padded, views, len(used) + 1, chance)
            return total

        def judge(weights: Weights) -> float:
            items = vectors(weights, all_rows, None).cpu().numpy()
            read = (history.windows(block.users, lengths[block.users], self.length) for block in judges)
            values = [
                block.ndcg(self._products(weights, items, *parts)) for block, parts in zip(judges, read, strict=True)
            ]
            return float(np.concatenate(values).mean())

        lengths = np.diff(history.starts)
        rng = np.random.default_rng(self.seed)
        start = self.network(rng) | self._inputs(rng, part.n_items, {name: b.shape[1] for name, b in bases.items()})
        weights = self.train(start, loss, judge if judges else None, len(users), part, tell)
        ids = weights.pop("ids", np.zeros((part.n_items, self.dim), np.float32))
        self.ids_ = np.where(part.warm[:, None], ids, 0.0).astype(np.float32)
        self.weights_ = weights | {f"project/{name}": bases[name] @ weights[f"project/{name}"] for name in bases}
        self.extend()

    def extend(self) -> None:
        """The vectors of all items; new ones have none of their own."""
        self.ids_ = np.pad(self.ids_, ((0, self.catalog_.n_items - len(self.ids_)), (0, 0)))
        vectors = self.ids_.copy()
        for name, of_column in self._content().items():
            vectors += np.float32(self.content) * of_column @ self.weights_[f"project/{name}"]
        self.item_vectors_ = vectors

    def fold_in(self, users: Rows, kept: int) -> None:
        """Nothing: the history says it all."""

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → what the history makes likely to come next, float32 (b, n_items)."""
        history = self.history
        lengths = np.diff(history.starts)[users]
        scores = np.empty((len(users), self.catalog_.n_items), np.float32)
        for start in range(0, len(users), AT_ONCE):
            here = slice(start, start + AT_ONCE)
            scores[here] = self._products_now(*history.windows(users[here], lengths[here], self.length))
        scores[lengths == 0] = self.popularity_
        return scores

    def score_similar(self, item: int) -> Scores:
        """An item's row → the cosine of its vector with every other, float32 (n_items,)."""
        return cosines(self.item_vectors_, item)

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → title of an item of the history → its share, by what is lost without it.

        Each item that is read is left out in turn (Covert 2021); those without which the score falls have shares.
        """
        history = self.history
        read, times = history.of_user(user)
        read, times = read[-self.length :], times[-self.length :]
        n = len(read)
        if not n:
            return [{"popularity": 1.0} for _ in items]
        without = np.full((n + 1, n), NOTHING)
        when = np.zeros((n + 1, n), np.int64)
        without[0] = read
        if len(times):
            when[0] = times
        for place in range(n):
            without[place + 1, 1:] = np.delete(read, place)
            when[place + 1, 1:] = np.delete(when[0], place)
        scores = self._products_now(without, when)[:, items]  # (n + 1, m); a history of one item: nothing is left of it
        if n == 1:
            return [{self.catalog_.title(int(read[0])): 1.0} for _ in items]
        lost = np.maximum(scores[0] - scores[1:], 0.0)  # (n, m)
        titles = [self.catalog_.title(int(row)) for row in read]
        return [shares(titles, column) or {"the history as a whole": 1.0} for column in lost.T]

    def _products_now(self, items: Rows, times: Rows) -> Scores:
        import torch

        with torch.no_grad(), one_thread:
            weights = {name: self._tensor(value) for name, value in self.weights_.items()}
            return self._products(weights, self.item_vectors_, items, times)

    def _products(self, weights: Weights, vectors: NDArray[np.float32], items: Rows, times: Rows) -> Scores:
        """Histories (b, l), padded, and their times → the best product of a reading with each item, (b, n_items)."""
        readings = self.readings(weights, vectors, items, times)  # (b, n, d)
        scores: Scores = readings[:, 0] @ vectors.T
        for place in range(1, readings.shape[1]):
            np.maximum(scores, readings[:, place] @ vectors.T, out=scores)
        return scores

    def readings(self, weights: Weights, vectors: NDArray[np.float32], items: Rows, times: Rows) -> NDArray[np.float32]:
        """Histories (b, l), padded, and their times → what is read of each, float32 (b, n, d)."""
        import torch

        items, times = trimmed(items, times)
        used = np.unique(items[items != NOTHING])
        table = np.concatenate([vectors[used], np.zeros((1, self.dim), np.float32)])
        place = np.where(items == NOTHING, len(used), np.searchsorted(used, items))
        states = self._read(weights, torch.from_numpy(table).to(self.device), place, items != NOTHING, times, None)
        last: NDArray[np.float32] = states[:, -1].cpu().numpy()
        return last

    def _read(
        self, weights: Weights, table: "Tensor", places: Rows, real: NDArray[np.bool_], times: Rows,
        chance: "Generator | None",
    ) -> "Tensor":  # fmt: skip
        """Rows of a table of vectors (b, l) → what `read` makes of them."""
        from torch.nn.functional import embedding

        inputs = embedding(self._tensor(places), table)
        known = real & (times > 0)
        days = (times - times.min(axis=1, keepdims=True, where=known, initial=2**40)) / 86_400.0
        ages = np.where(known, days, np.arange(places.shape[1]))
        if self.gaps:
            inputs = inputs + embedding(self._tensor(gap_buckets(times, known)), weights["gaps"])
        return self.read(weights, inputs, self._tensor(real), self._tensor(ages.astype(np.float32)), chance)

    def _contrast(
        self, weights: Weights, table: "Tensor", views: list[Rows], nothing: int, chance: "Generator"
    ) -> "Tensor":
        """Two views of each history → how badly they find each other among those of the batch (Xie 2022, eq. 1)."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        one, other = (
            normalize(self._read(weights, table, view, view != nothing, np.zeros_like(view), chance)[:, -1].flatten(1))
            for view in views
        )
        near = one @ other.T / self.contrast_temperature
        right = torch.arange(len(near), device=self.device)
        return (cross_entropy(near, right) + cross_entropy(near.T, right)) / 2

    def _inputs(self, rng: np.random.Generator, n_items: int, dims: dict[str, int]) -> Arrays:
        """What is not the network: small random vectors of items, of what is masked and of gaps; projections."""
        sizes = {"mask": 1, "ids": n_items if self.ids else 0, "gaps": GAPS if self.gaps else 0}
        sizes |= {f"project/{name}": dim for name, dim in dims.items()}
        return {
            name: 0.1 * rng.standard_normal((size, self.dim), dtype=np.float32) for name, size in sizes.items() if size
        }

    def _content(self) -> dict[str, NDArray[np.float32]]:
        """Column → the centered unit vectors of all items, zero where an item has none."""
        return {
            name: unit(np.where(e.present[:, None], e.vectors - center, 0.0).astype(np.float32))
            for name, center in self.centers_.items()
            for e in [self.embeddings_[name]]
        }

    def _chosen_columns(self, dataset: Dataset) -> list[str]:
        check_vectors(self.columns, dataset.embeddings, type(self).__name__)
        return list(self.columns or sorted(dataset.column_vectors)) if self.content else []

    def _check(self, dataset: Dataset) -> None:
        name = type(self).__name__
        for option in ("dim", "length"):
            if getattr(self, option) < 1:
                raise OptionError(f"{name}: {option} is {getattr(self, option)}; expected 1 or more")
        for option in ("dropout", "id_dropout"):
            if not 0.0 <= getattr(self, option) < 1.0:
                raise OptionError(f"{name}: {option} is {getattr(self, option)}; expected 0 to below 1")
        if self.contrast and len(self.views) < 2:
            raise OptionError(f"{name}: contrast takes two views, and views are {self.views}; give two or three")
        if not self.ids and not self._chosen_columns(dataset):
            raise DataError(f"{name}: without ids it needs vectors; encode the dataset first, or use ids=true")
        if self.gaps and dataset.interactions.times is None:
            raise DataError(f"{name}: {dataset.name} has no times, which gaps=true needs; use gaps=false")
