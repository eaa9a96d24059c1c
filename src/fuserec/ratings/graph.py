"""Ratings from a graph: users and items hear from each other along every level of rating."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, unit
from fuserec.device import one_thread
from fuserec.errors import OptionError
from fuserec.ratings.predictor import Values, padded
from fuserec.ratings.trained import Forward, TrainedRatings
from fuserec.recommenders.content import vectors_named
from fuserec.recommenders.networks import dense, dropped
from fuserec.recommenders.recommender import OnProgress, Rows
from fuserec.recommenders.training import Arrays, Weights

if TYPE_CHECKING:
    from torch import Generator, Tensor

CHUNK = 100_000  # ratings that are decoded at a time


class Edges(NamedTuple):
    """Ratings as edges: rows of users and items, and levels, int64 (n,) each; vectors of items, name → (n_items, m)."""

    users: "Tensor"
    items: "Tensor"
    level: "Tensor"
    content: "dict[str, Tensor]"

    def without(self, users: "Tensor", items: "Tensor") -> "Edges":
        """The edges without those of these pairs."""
        import torch

        n = int(self.items.max()) + 1
        kept = ~torch.isin(self.users * n + self.items, users * n + items)
        return Edges(self.users[kept], self.items[kept], self.level[kept], self.content)


@dataclass(kw_only=True, eq=False)
class GraphRatings(TrainedRatings):
    """A graph autoencoder (GC-MC: van den Berg 2017). Users get messages from the items that they rated, and items from
    their users, along each level of rating (eq. 1; levels side by side, the weights of a level added to those of the
    levels below, section 2.7); a dense layer makes codes of them, with content added for items (eq. 10); a bilinear
    decoder makes chances of the levels of two codes, and their mean is the rating (eq. 4 to 6).

    Two things are not as in the paper: ratings of a batch are no edges in that step, so that none predicts itself, and
    errors are squared. A new item has the code that its content gives it.

    user_codes_, item_codes_: float32 (n_users, dim) and (n_items, dim); levels_: float32 (n_levels,), the ratings
    decoder_: bases float32 (bases, dim, dim), mix (n_levels, bases), and of each column side/NAME (dim_m, dim)
    centers_: column → float32 (dim_m,)
    """  # noqa: D205

    columns: tuple[str, ...] | None = None  # whose vectors are used; default: every column
    dim: int = 60  # of a code
    hidden: int = 40  # of a message along a level
    bases: int = 2
    dropout: float = 0.7  # of messages
    l2: float = 0.01  # of the codes
    epochs: int = 80
    batch: int = 8_192
    learning_rate: float = 0.003

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Learn the weights, then make the codes over all ratings."""
        import torch

        if min(self.hidden, self.bases) < 1 or not 0.0 <= self.dropout < 1.0:
            raise OptionError(
                f"GraphRatings: hidden is {self.hidden}, bases {self.bases}, dropout {self.dropout}; "
                "expected from 1, from 1, and 0 to below 1"
            )
        assert dataset.interactions.ratings is not None
        self.levels_ = np.unique(dataset.interactions.ratings)
        names = sorted(dataset.column_vectors) if self.columns is None else self.columns
        self.centers_ = {name: vectors_named(dataset, name, "GraphRatings").center(dataset.warm) for name in names}
        self.decoder_: Arrays = {}
        super().learn_by(dataset, validation, tell)
        with torch.no_grad(), one_thread:
            weights = {name: self._tensor(value) for name, value in self.decoder_.items()}
            codes = self._codes(weights, self._edges(dataset), None)
        self.user_codes_, self.item_codes_ = (one.cpu().numpy() for one in codes)
        kept = ("mix", "bases", *(f"side/{name}" for name in self.centers_))
        self.decoder_ = {name: self.decoder_[name] for name in kept}

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Small random weights."""
        n_levels, d = len(self.levels_), self.dim
        weights = {"mix": rng.standard_normal((n_levels, self.bases), dtype=np.float32)}
        weights["bases"] = dense(rng, self.bases, d, d)
        for side, n in (("users", dataset.n_users), ("items", dataset.n_items)):
            weights[f"own/{side}"] = 0.1 * rng.standard_normal((n_levels, n, self.hidden), dtype=np.float32)
            weights[f"dense/{side}"] = dense(rng, n_levels * self.hidden, d)
        return weights | {f"side/{name}": dense(rng, len(center), d) for name, center in self.centers_.items()}

    def forward(self, dataset: Dataset) -> Forward:
        """Codes over the graph, in training without the edges of the batch, decoded."""
        import torch

        edges, chance = self._edges(dataset), torch.Generator(self.device).manual_seed(self.seed)

        def rate(weights: Weights, users: "Tensor", items: "Tensor") -> "tuple[Tensor, Tensor]":
            learning = torch.is_grad_enabled()
            seen = edges.without(users, items) if learning else edges
            of_users, of_items = self._codes(weights, seen, chance if learning else None)
            user, item = of_users[users], of_items[items]
            return self._decoded(weights, user, item), (user**2).mean() + (item**2).mean()

        return rate

    def keep_weights(self, weights: Arrays, dataset: Dataset) -> None:
        """All, until the codes are made."""
        self.decoder_ = weights

    def extend(self) -> None:
        """New items have the codes that their content gives them."""
        super().extend()
        n_known, n_items = len(self.item_codes_), self.catalog_.n_items
        self.item_codes_ = padded(self.item_codes_, n_items)
        for name, vectors in self._content(self.embeddings_).items():
            self.item_codes_[n_known:] += vectors[n_known:] @ self.decoder_[f"side/{name}"]
        self.item_codes_[n_known:] = np.tanh(self.item_codes_[n_known:])

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → mean + what the decoder makes of their codes, float32 (n,)."""
        import torch

        weights = {name: torch.from_numpy(np.array(self.decoder_[name])) for name in ("mix", "bases")}
        found = []
        for start in range(0, len(users), CHUNK):
            here = slice(start, start + CHUNK)
            codes = self.user_codes_[users[here]], self.item_codes_[items[here]]
            found.append(self._decoded(weights, *map(torch.from_numpy, codes)).numpy())
        return np.concatenate([*found, np.zeros(0, np.float32)]) + np.float32(self.mean_)

    def _edges(self, dataset: Dataset) -> Edges:
        rows = dataset.interactions
        assert rows.ratings is not None
        level = np.searchsorted(self.levels_, rows.ratings)
        content = {name: self._tensor(one) for name, one in self._content(dataset.embeddings).items()}
        return Edges(self._tensor(rows.users), self._tensor(rows.items), self._tensor(level), content)

    def _codes(self, weights: Weights, edges: Edges, chance: "Generator | None") -> "tuple[Tensor, Tensor]":
        """Codes of all users (n_users, dim) and items (n_items, dim), by what they hear over the edges."""
        import torch

        codes = []
        for side, to, other, of in (
            ("users", edges.users, "items", edges.items),
            ("items", edges.items, "users", edges.users),
        ):
            table = weights[f"own/{other}"].cumsum(0)  # (n_levels, n_other, hidden): a level has those below it too
            n, n_levels = weights[f"own/{side}"].shape[1], len(table)
            total = torch.zeros((n * n_levels, self.hidden), device=self.device)
            total = total.index_add(0, to * n_levels + edges.level, table[edges.level, of])
            count = torch.bincount(to, minlength=n).clamp(min=1)
            heard = torch.relu(total.view(n, -1) / count[:, None] ** 0.5)
            codes.append(dropped(heard, self.dropout, chance) @ weights[f"dense/{side}"])
        for name, vectors in edges.content.items():
            codes[1] = codes[1] + vectors @ weights[f"side/{name}"]
        return torch.tanh(codes[0]), torch.tanh(codes[1])

    def _decoded(self, weights: Weights, user: "Tensor", item: "Tensor") -> "Tensor":
        """Codes (b, dim) each → the expected rating minus the mean (b,)."""
        import torch

        each = torch.stack([((user @ base) * item).sum(1) for base in weights["bases"]], 1)  # (b, bases)
        levels = torch.from_numpy(self.levels_ - np.float32(self.mean_)).to(each.device)
        return (each @ weights["mix"].T).softmax(1) @ levels

    def _content(self, embeddings: Mapping[str, Embeddings]) -> Arrays:
        """Column → the centered unit vectors of all items, zero where an item has none."""
        return {
            name: unit(np.where(one.present[:, None], one.vectors - center, 0.0).astype(np.float32))
            for name, center in self.centers_.items()
            for one in [embeddings[name]]
        }
