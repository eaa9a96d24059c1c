"""A small network instead of a product: how a user's and an item's vectors go together is learned too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.device import one_thread
from fuserec.errors import OptionError
from fuserec.recommenders.factors import HARD, BatchLoss, ChoiceModel, Negatives, small
from fuserec.recommenders.recommender import Rows, Scores
from fuserec.recommenders.training import Arrays, Weights
from fuserec.retrieval import block_rows

if TYPE_CHECKING:
    from torch import Tensor

JUDGES = 1_000  # users by whom it is judged at most: a score is a pass through the network, not a product


def network_start(rng: np.random.Generator, n_users: int, n_items: int, dim: int, hidden: tuple[int, ...]) -> Arrays:
    """Chance and sizes → the start weights of `network`."""
    sizes = (2 * dim, *hidden)
    start = {f"{part}/{side}": small(rng, n, dim) for part in ("gmf", "mlp") for side, n in _sides(n_users, n_items)}
    start["gmf/out"] = np.ones(dim, np.float32)
    for layer, (wide, narrow) in enumerate(zip(sizes, sizes[1:], strict=False)):
        scale = np.float32(np.sqrt(2 / wide))  # He 2015, eq. 10: keeps the size of what a relu lets through
        start[f"mlp/{layer}"] = scale * rng.standard_normal((wide, narrow), dtype=np.float32)
        start[f"mlp/{layer}/bias"] = np.zeros(narrow, np.float32)
    return start | {"mlp/out": small(rng, sizes[-1]), "bias/items": np.zeros(n_items, np.float32)}


def network(weights: Weights, users: "Tensor", items: "Tensor") -> "Tensor":
    """Weights, rows of users and of items that broadcast → how well they go together, of the shape they broadcast to.

    NeuMF (He 2017, eq. 12) before its last sigmoid, with a bias an item: the product of two vectors, weighted, beside
    layers over two others. The first layer is applied to user and item apart, before they meet: that is the same as to
    both side by side, and in a table of all pairs far less work.
    """
    from torch.nn.functional import embedding, relu

    gmf = (embedding(users, weights["gmf/users"]) * weights["gmf/out"] * embedding(items, weights["gmf/items"])).sum(-1)
    dim = weights["mlp/users"].shape[1]
    of_user = embedding(users, weights["mlp/users"]) @ weights["mlp/0"][:dim]
    of_item = embedding(items, weights["mlp/items"]) @ weights["mlp/0"][dim:] + weights["mlp/0/bias"]
    hidden, layer = relu(of_user + of_item), 1
    while f"mlp/{layer}" in weights:
        hidden = relu(hidden @ weights[f"mlp/{layer}"] + weights[f"mlp/{layer}/bias"])
        layer += 1
    return gmf + (hidden @ weights["mlp/out"]) + weights["bias/items"][items]


@dataclass(kw_only=True, eq=False)
class NeuMF(ChoiceModel):
    """A product of vectors and a network over others, taught to tell chosen from not chosen (He 2017, eq. 7 and 12).

    It knows items by who chose them. Corrections of `sampling` do not apply to it. The first layer of the network has
    2 dim inputs.

    weights_: name → float32 array, see `network`
    """

    negatives: int = 4  # an interaction
    dim: int = 32
    hidden: tuple[int, ...] = (64, 32)  # units of the layers
    learning_rate: float = 0.005
    l2: float = 1e-3  # of the vectors of a batch

    def start(self, dataset: Dataset, rng: np.random.Generator) -> Arrays:
        """Training dataset → small random weights."""
        if not self.hidden or min(self.hidden) < 1:
            raise OptionError(f"NeuMF: hidden is {self.hidden}; expected at least one layer, each of 1 unit or more")
        return network_start(rng, dataset.n_users, dataset.n_items, self.dim, self.hidden)

    def losses(self, dataset: Dataset) -> BatchLoss:
        """Binary cross-entropy of chosen and drawn items, and l2."""
        import torch
        from torch.nn.functional import embedding, softplus

        def of(weights: Weights, users: Rows, chosen: Rows, draw: Negatives) -> "Tensor":
            each = self.negatives * (HARD if self.sampling == "hard" else 1)
            drawn, _ = draw.draw(len(chosen) * each)
            items = self._tensor(np.concatenate([chosen[:, None], drawn.reshape(-1, each)], axis=1))  # (b, 1 + each)
            rows = self._tensor(users[:, None])
            logits = network(weights, rows, items)
            others = logits[:, 1:]
            if self.sampling == "hard":
                others = others.topk(self.negatives, dim=1).values
            lengths = torch.stack(
                [
                    (embedding(found, weights[f"{part}/{side}"]) ** 2).sum()
                    for part in ("gmf", "mlp")
                    for side, found in (("users", rows), ("items", items[:, :1]))
                ]
            ).sum()
            # the mean over chosen and drawn alike, as of single examples
            return (softplus(-logits[:, 0]).sum() + softplus(others).sum()) / (
                len(chosen) * (1 + self.negatives)
            ) + self.l2 * lengths / len(chosen)

        return of

    def scorer(self, dataset: Dataset) -> "Callable[[Weights], Callable[[Rows], Scores]]":
        """The network, over all items."""
        return lambda weights: lambda users: _score(weights, users, self.device)

    @property
    def most_judges(self) -> int:
        """Fewer than of other models, since a score takes longer."""
        return JUDGES

    def keep(self, dataset: Dataset, weights: Weights) -> NDArray[np.float32]:
        """The weights, and both vectors of each item side by side."""
        self.weights_ = {name: value.cpu().numpy() for name, value in weights.items()}
        return np.concatenate([self.weights_["gmf/items"], self.weights_["mlp/items"]], axis=1)

    def score_known(self, users: Rows) -> Scores:
        """User rows (b,) → what the network says of every item, float32 (b, n_items), by the processor."""
        import torch

        with one_thread, torch.no_grad():
            return _score({name: torch.tensor(value) for name, value in self.weights_.items()}, users, "cpu")


def _score(weights: Weights, users: Rows, device: str) -> Scores:
    """User rows (b,) → float32 (b, n_items), made in blocks of users and of items, so that hidden layers fit."""
    import torch

    n_items = len(weights["bias/items"])
    width = max(weights["gmf/out"].shape[0], *(weights[name].shape[-1] for name in weights if name.startswith("mlp/")))
    b, n = block_rows(width * min(n_items, block_rows(width))), block_rows(width)
    scores = np.empty((len(users), n_items), np.float32)
    for row in range(0, len(users), b):
        some = torch.from_numpy(users[row : row + b, None]).to(device)
        for column in range(0, n_items, n):
            items = torch.arange(column, min(column + n, n_items), device=device)[None, :]
            scores[row : row + b, column : column + n] = network(weights, some, items).cpu().numpy()
    return scores


def _sides(n_users: int, n_items: int) -> Any:
    return ("users", n_users), ("items", n_items)
