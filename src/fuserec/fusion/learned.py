"""Learned fusion: networks that make one vector an item, taught by what users chose together (see `training.py`).

All begin as the sum of projections A_m u_m of the columns' centered unit vectors u_m, with A_m the columns' parts of
the principal axes of the concatenation. So each starts as a shorter `Concat`, which keeps what is private to a column,
and learns from there what matters to users.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import unit
from fuserec.device import check_device, one_thread
from fuserec.errors import OptionError
from fuserec.fusion.early import principal_axes
from fuserec.fusion.fuser import Fuser, Vectors
from fuserec.fusion.training import Arrays, Schedule, Weights, train

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 8_192  # items that go through a network at once


@dataclass(kw_only=True, eq=False)
class LearnedFuser(Fuser):
    """A network over the columns; a subclass writes `start`, its first weights, and `forward`, the network.

    weights_: name → float32 array, the weights of the network
    """

    dim: int = 64  # of the fused vectors, at most
    rounds: int = 15  # of 20 gradient steps, at most
    patience: int = 4  # rounds without a better rank for held-out users before training ends
    settle: int = 0  # rounds before one may be kept; 0: the start may be kept too
    learning_rate: float = 1e-3
    drop: float = 0.1  # share of columns hidden in training; 0.3 where many items have one column only
    batch: int = 32  # users a step
    temperature: float = 0.1  # of the softmax at the start; it is learned
    held_out: float = 0.15  # share of the users by whom training is judged
    seed: int = 0
    device: str = "cpu"

    FAST: ClassVar[tuple[str, ...]] = ()  # weights that learn ten times as fast

    def learn(self, dataset: Dataset, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """Train the network on who chose what in the dataset."""
        self._check_options()
        concatenation = unit(np.concatenate(blocks, axis=1))
        axes = principal_axes(concatenation[dataset.warm] if dataset.warm.any() else concatenation, self.dim)
        projections = np.split(axes, np.cumsum([block.shape[1] for block in blocks])[:-1])  # (dim_m, dim) each
        self.weights_ = train(
            self.start(projections, np.random.default_rng(self.seed)),
            self.forward,
            self.penalty,
            blocks,
            present,
            dataset.seen,
            Schedule(**{name: getattr(self, name) for name in Schedule.__dataclass_fields__}),
            fast=self.FAST,
            seed=self.seed,
            device=self.device,
        )

    @abstractmethod
    def start(self, projections: Sequence[Vectors], rng: np.random.Generator) -> Arrays:
        """Principal axes float32 (dim_m, dim), one block a column → the first weights."""

    @abstractmethod
    def forward(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor":
        """Weights, blocks float32 (n, dim_m) that are zero where missing, present bool (n, M) → float32 (n, dim)."""

    def penalty(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor | float":
        """What is added to the loss, of the arguments of `forward`; by default nothing."""
        return 0.0

    def combine(self, blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Vectors:
        """Blocks (n, dim_m) → (n, dim) of unit length."""
        check_device(self.device)
        import torch

        weights = {name: torch.from_numpy(value).to(self.device) for name, value in self.weights_.items()}
        parts = []
        with one_thread, torch.no_grad():
            for first in range(0, max(len(present), 1), ROWS):
                rows = slice(first, first + ROWS)
                inputs = [torch.from_numpy(block[rows]).to(self.device) for block in blocks]
                there = torch.from_numpy(present[rows]).to(self.device)
                parts.append(self.forward(weights, inputs, there).cpu().numpy())
        return unit(np.concatenate(parts))

    def _check_options(self) -> None:
        for name in ("dim", "patience", "batch"):
            if getattr(self, name) < 1:
                raise OptionError(f"{type(self).__name__}: {name} is {getattr(self, name)}; expected 1 or more")
        for name in ("drop", "held_out"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise OptionError(f"{type(self).__name__}: {name} is {getattr(self, name)}; expected 0 to below 1")

    def _projected(self, weights: Weights, blocks: "Sequence[Tensor]") -> "Tensor":
        """Blocks (n, dim_m) → A_m u_m of every column, (n, M, dim); zero where missing."""
        import torch

        return torch.stack([u @ weights[f"project-{m}"] for m, u in enumerate(blocks)], dim=1)


@dataclass(kw_only=True, eq=False)
class Gated(LearnedFuser):
    """Columns added up through gates that see all of them: h = sum of z_m * tanh(A_m u_m), z = sigmoid(Z [u_1, ...]).

    (Gated multimodal units for more than two modalities: Arevalo 2017, section 3.1.) A missing column adds nothing.
    """

    def start(self, projections: Sequence[Vectors], rng: np.random.Generator) -> Arrays:
        """Gates of one half for everything."""
        dim = projections[0].shape[1]
        width = sum(len(block) for block in projections)
        gates = np.zeros((width, len(projections) * dim), np.float32)
        return {f"project-{m}": block for m, block in enumerate(projections)} | {"gate": gates}

    def forward(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor":
        """Blocks → h."""
        import torch

        told = torch.tanh(self._projected(weights, blocks))  # (n, M, dim)
        gates: Tensor = torch.sigmoid(torch.cat(list(blocks), dim=1) @ weights["gate"])  # (n, M * dim)
        return (gates.view(told.shape) * told).sum(dim=1)


@dataclass(kw_only=True, eq=False)
class Attention(LearnedFuser):
    """Columns as tokens t_m = A_m u_m, weighed by heads that each ask one learned question: softmax(q k / sqrt(d)) t.

    (Vaswani 2017, eq. 1.) Keys are the tokens plus a learned embedding of their column. A missing column is masked.
    """

    heads: int = 8  # each weighs its share of the numbers of all tokens

    def start(self, projections: Sequence[Vectors], rng: np.random.Generator) -> Arrays:
        """Questions of zero: all columns weigh the same."""
        dim = projections[0].shape[1]
        return {f"project-{m}": block for m, block in enumerate(projections)} | {
            "query": np.zeros((dim, self.heads), np.float32),
            "column": rng.standard_normal((len(projections), dim)).astype(np.float32),
        }

    def forward(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor":
        """Blocks → the weighted mean of the tokens, head by head."""
        import torch

        tokens = self._projected(weights, blocks)  # (n, M, dim)
        n, _, dim = tokens.shape
        asked = (tokens * dim**0.5 + weights["column"]) @ weights["query"] / dim**0.5  # (n, M, heads)
        share: Tensor = asked.masked_fill(~present[:, :, None], -1e9).softmax(dim=1)  # (n, M, heads)
        head = torch.arange(dim, device=tokens.device) * self.heads // dim  # which head weighs each number
        return (share[:, :, head] * tokens).sum(dim=1)


@dataclass(kw_only=True, eq=False)
class LowRankTensor(LearnedFuser):
    """All products of columns, by a tensor of low rank: h = sum over r of the product over m of W_m^r [u_m; 1].

    (Liu 2018, eq. 6 and 7.) The constant 1 keeps products of fewer columns, so a missing column, [0 ... 0; 1], leaves
    those of the others. The first M ranks start as one column each and constants 1 for the others: their sum.
    """

    rank: int = 2  # beyond the one of each column

    def start(self, projections: Sequence[Vectors], rng: np.random.Generator) -> Arrays:
        """Factors (M + rank, dim_m, dim) and constants (M + rank, dim) for every column."""
        n_columns, dim = len(projections), projections[0].shape[1]
        weights: Arrays = {}
        for m, block in enumerate(projections):
            factors = np.zeros((n_columns + self.rank, len(block), dim), np.float32)
            factors[m] = block
            factors[n_columns:] = 0.1 * rng.standard_normal(factors[n_columns:].shape)
            constants = np.ones((n_columns + self.rank, dim), np.float32)
            constants[m] = 0.0
            constants[n_columns:] = 0.1
            weights |= {f"factor-{m}": factors, f"constant-{m}": constants}
        return weights

    def forward(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor":
        """Blocks → h."""
        import torch

        product = torch.ones((), device=present.device)
        for m, u in enumerate(blocks):
            product = product * (torch.einsum("nd,rdh->nrh", u, weights[f"factor-{m}"]) + weights[f"constant-{m}"])
        return product.sum(dim=1)


@dataclass(kw_only=True, eq=False)
class Adversarial(LearnedFuser):
    """Two halves: the sum of A_m u_m, and a shared half from which nobody can tell which column it came from.

    Every column is projected to s_m, at unit length; a discriminator learns to name m from s_m, and the projections
    learn the opposite by the reversed gradient (Ganin 2016, eq. 18), while their mean over the columns that an item has
    must still find what its users chose. So items that have different columns can be compared. The first half
    keeps what is private (domain separation: Bousmalis 2016).
    """

    rounds: int = 20
    settle: int = 12  # the game between projections and discriminator needs some 240 steps
    shared: int = 16  # numbers of the shared half
    balance: float = 0.5  # length of the shared half, where that of the other is 1
    adversary: float = 0.1  # share of the discriminator's gradient that is reversed; with 1 the game never settles
    hidden: int = 64  # of the discriminator

    FAST: ClassVar[tuple[str, ...]] = ("hear", "name")  # a discriminator that lags behind teaches nothing

    def start(self, projections: Sequence[Vectors], rng: np.random.Generator) -> Arrays:
        """Random projections to the shared half, and a random discriminator."""
        n_columns = len(projections)
        weights = {f"project-{m}": block for m, block in enumerate(projections)}
        for m, block in enumerate(projections):
            weights[f"share-{m}"] = (0.02 * rng.standard_normal((len(block), self.shared))).astype(np.float32)
        for name, shape in (("hear", (self.shared, self.hidden)), ("name", (self.hidden, n_columns))):
            weights[name] = (rng.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)
        return weights

    def forward(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor":
        """Blocks → both halves (n, dim + shared)."""
        import torch
        from torch.nn.functional import normalize

        private = normalize(self._projected(weights, blocks).sum(dim=1), dim=1)
        shared = normalize(self.shares(weights, blocks).sum(dim=1), dim=1)
        return torch.cat([private, self.balance * shared], dim=1)

    def penalty(self, weights: Weights, blocks: "Sequence[Tensor]", present: "Tensor") -> "Tensor":
        """The discriminator's cross entropy; its gradient goes on to the projections with the opposite sign."""
        from torch.nn.functional import cross_entropy

        shares = self.shares(weights, blocks)  # (n, M, shared)
        reversed_ = (1.0 + self.adversary) * shares.detach() - self.adversary * shares  # the same value
        named = (reversed_ @ weights["hear"]).relu() @ weights["name"]  # (n, M, M)
        return cross_entropy(named[present], present.nonzero()[:, 1])

    def shares(self, weights: Weights, blocks: "Sequence[Tensor]") -> "Tensor":
        """Blocks → s_m of every column, (n, M, shared) of unit length; zero where missing."""
        import torch
        from torch.nn.functional import normalize

        return normalize(torch.stack([u @ weights[f"share-{m}"] for m, u in enumerate(blocks)], dim=1), dim=2)
