"""Towers: one small network a column, trained so that an item's own vectors come closer than those of other items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.adversarial import BETAS, FORMS, Discriminator
from fuserec.alignment.aligner import Aligner, Vectors
from fuserec.alignment.losses import infonce, sigmoid_pairs, triplet
from fuserec.alignment.projection import GCCA
from fuserec.data.embeddings import unit
from fuserec.device import check_device, one_thread, seeded
from fuserec.errors import OptionError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

LOSSES = ("infonce", "sigmoid", "triplet")
HELD_OUT, MOST_HELD_OUT = 0.1, 2_000  # share of the items, and how many at most, that training does not see
SIGMOID_BIAS = -10.0  # what the learned bias of the sigmoid loss starts from: almost no pair is a pair (Zhai et al.)

Weights = dict[str, dict[str, Any]]  # column → name → array or tensor


@dataclass(kw_only=True, eq=False)
class Towers(Aligner):
    """A linear map a column, or one with a hidden layer beside it, trained on all pairs of columns that an item has.

    shared = x map + bias + relu(x up + up_bias) down, the last term where `hidden` is not 0, then at unit length.
    `map` and `bias` start from `GCCA`, `down` from zero: training begins at the closed form, which on small catalogs
    it can hardly improve (from random maps it ended below it). A tenth of the items is held out; the weights kept are
    those of the epoch, the start included, with the best mean reciprocal rank of an item's own vector among the
    held-out ones, over all pairs of columns in both directions. Fewer than 20 items are too few to hold any out: there
    the items trained on are looked at. Views count in all three: in the start, in training and in the choice.

    With `adversary`, retrieval alone would choose the epochs before it had any effect, so all epochs are trained, and
    the weights are the mean over the last half of them, since such a game moves around its solution
    (Yazici et al. 2019).

    weights_: column → `map` float32 (dim_m, dim), `bias` (dim,), and, with a hidden layer, `up` (dim_m, hidden),
    `up_bias` (hidden,) and `down` (hidden, dim)
    score_: the mean reciprocal rank on held-out items
    """

    hidden: int = 0  # units of the hidden layer; 0: linear
    loss: str = "infonce"  # or "sigmoid" or "triplet"; see `losses.py`
    temperature: float = 0.1  # what that of infonce and sigmoid starts from; it is learned
    margin: float = 0.2  # of triplet
    batch: int = 256  # items a step, whose vectors are each other's negatives
    epochs: int = 200  # at most
    patience: int = 20  # epochs without a better score before training stops
    learning_rate: float = 5e-4
    weight_decay: float = 0.01  # decoupled (Loshchilov and Hutter 2019)
    dropout: float = 0.5  # share of the input's coordinates that are left out in training
    adversary: str = "none"  # or "reversal" or "gan": whether columns are made indistinguishable; see `adversarial.py`
    adversary_weight: float = 1.0  # of that, beside the loss
    seed: int = 0
    device: str = "cpu"  # where torch computes

    def __post_init__(self) -> None:
        for option, known in (("loss", LOSSES), ("adversary", FORMS)):
            found = getattr(self, option)
            if found not in known:
                raise OptionError(
                    f"Towers: {option} = {found!r}{did_you_mean(found, known)} One of {', '.join(known)}."
                )
        least = {"dim": 1, "hidden": 0, "batch": 2, "epochs": 0, "patience": 1, "seed": 0, "margin": 0, "dropout": 0}
        least |= {"weight_decay": 0, "adversary_weight": 0}
        for option, lowest in least.items():
            if not getattr(self, option) >= lowest:
                raise OptionError(f"Towers: {option} is {getattr(self, option)}; expected {lowest} or more")
        if not self.temperature > 0 or not self.learning_rate > 0 or not self.dropout < 1:
            raise OptionError(
                f"Towers: temperature = {self.temperature}, learning_rate = {self.learning_rate}, "
                f"dropout = {self.dropout}; expected above 0, above 0, and below 1"
            )

    def learn(self, names: Sequence[str], blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """M blocks float32 (n, dim_m), zero where missing; present bool (n, M) → `weights_` and `score_`."""
        self.learn_views(names, [block[None] for block in blocks], present)

    def learn_views(self, names: Sequence[str], variants: Sequence[Vectors], present: NDArray[np.bool_]) -> None:
        """As `learn`; in each epoch a vector is drawn evenly among an item's own one and its views."""
        import torch

        check_device(self.device)
        train, held = _held_out(len(present), self.seed)
        # every column has as many versions as that with the most views: its own vectors and its views, over and over
        n_versions = max(len(variant) for variant in variants)
        versions = [[variant[v % len(variant)] for variant in variants] for v in range(n_versions)]
        blocks = [np.concatenate([version[m][train] for version in versions]) for m in range(len(names))]
        start = self._start(names, blocks, np.tile(present[train], (n_versions, 1)))

        def score(weights: Weights) -> float:
            found = [
                mean_reciprocal_rank(
                    [unit(_tower(weights[name], block[held])) for name, block in zip(names, version, strict=True)],
                    present[held],
                )
                for version in versions
            ]
            return float(np.mean(found))

        best, best_score, waited = start, score(start), 0
        mean, n_averaged = start, 0
        with one_thread, seeded(self.seed):
            media = [torch.from_numpy(variant).to(self.device) for variant in variants]
            there = torch.from_numpy(present).to(self.device)
            run = _Training(self, start)
            for epoch in range(self.epochs):
                for rows in torch.split(torch.from_numpy(train)[torch.randperm(len(train))], self.batch):
                    run.step([m[torch.randint(len(m), rows.shape), rows] for m in media], there[rows])
                weights = run.weights()
                if self.adversary != "none":
                    if epoch >= self.epochs // 2:
                        n_averaged += 1
                        mean = _closer(mean, weights, 1 / n_averaged)
                    continue
                found, waited = score(weights), waited + 1
                if found > best_score:
                    best, best_score, waited = weights, found, 0
                if waited >= self.patience:
                    break
        self.weights_: Weights = best if self.adversary == "none" else mean
        self.score_ = score(self.weights_)

    def to_shared(self, name: str, block: Vectors) -> Vectors:
        """One column's centered unit vectors, float32 (n, dim_m) → float32 (n, dim)."""
        shared: Vectors = _tower(self.weights_[name], block)
        return shared

    def _start(self, names: Sequence[str], blocks: Sequence[Vectors], present: NDArray[np.bool_]) -> Weights:
        """Maps of `GCCA`, scaled so that shared vectors have a root mean square length of 1; an idle hidden layer."""
        closed_form = GCCA(dim=self.dim)
        closed_form.learn(names, blocks, present)
        rng = np.random.default_rng(self.seed)
        start: Weights = {}
        for name, block, own in zip(names, blocks, present.T, strict=True):
            length = np.linalg.norm(closed_form.to_shared(name, block[own])) / max(own.sum(), 1) ** 0.5
            matrix = closed_form.maps_[name] / np.float32(max(length, 1e-12))
            start[name] = {"map": matrix, "bias": -closed_form.means_[name] @ matrix}
            if self.hidden:
                start[name]["up"] = rng.normal(0.0, 2**0.5, (block.shape[1], self.hidden)).astype(np.float32)
                start[name]["up_bias"] = np.zeros(self.hidden, np.float32)
                start[name]["down"] = np.zeros((self.hidden, matrix.shape[1]), np.float32)
        return start


class _Training:
    """The towers' weights as tensors, and one step of descent."""

    def __init__(self, options: Towers, start: Weights) -> None:
        import torch

        def tensor(array: Any) -> "Tensor":
            return torch.tensor(array, dtype=torch.float32, device=options.device, requires_grad=True)

        self.options = options
        self.towers = {column: {key: tensor(array) for key, array in own.items()} for column, own in start.items()}
        self.log_scale, self.bias = tensor(log(1 / options.temperature)), tensor(SIGMOID_BIAS)
        dim = next(iter(start.values()))["map"].shape[1]
        groups: list[dict[str, Any]] = [
            {"params": [weight for own in self.towers.values() for weight in own.values()]},
            {"params": [self.log_scale, self.bias], "weight_decay": 0.0},
        ]
        self.opponent, betas = None, (0.9, 0.999)
        if options.adversary != "none":
            self.opponent, betas = Discriminator(options.adversary, dim, len(start), options.device), BETAS
            groups += self.opponent.beside_towers()
        self.optimizer = torch.optim.AdamW(
            groups, lr=options.learning_rate, betas=betas, weight_decay=options.weight_decay
        )

    def weights(self) -> Weights:
        """A copy, as arrays."""
        return {
            column: {key: weight.detach().cpu().numpy().copy() for key, weight in own.items()}
            for column, own in self.towers.items()
        }

    def step(self, blocks: "Sequence[Tensor]", there: "Tensor") -> None:
        """M blocks (b, dim_m) of a batch of items, and bool (b, M), which are there."""
        from torch.autograd import backward
        from torch.nn.functional import dropout, normalize

        dropped = [dropout(block, self.options.dropout) for block in blocks]
        shared = [normalize(_tower(own, x)) for own, x in zip(self.towers.values(), dropped, strict=True)]
        terms, counts = [], []
        for first, second in combinations(range(len(shared)), 2):
            both = there[:, first] & there[:, second]
            count = int(both.sum())
            if count > 1:
                terms.append(self._loss(shared[first][both], shared[second][both]) * count)
                counts.append(count)
        if not terms:
            return
        loss = sum(terms[1:], terms[0]) / sum(counts)
        if self.opponent is not None:  # it sees vectors as they will be, not with coordinates left out
            clean = [normalize(_tower(own, x)) for own, x in zip(self.towers.values(), blocks, strict=True)]
            loss = loss + self.opponent.penalty(clean, there, self.options.adversary_weight)
        self.optimizer.zero_grad()
        backward(loss)
        self.optimizer.step()

    def _loss(self, a: "Tensor", b: "Tensor") -> "Tensor":
        if self.options.loss == "infonce":
            return infonce(a, b, self.log_scale.exp())
        if self.options.loss == "sigmoid":
            return sigmoid_pairs(a, b, self.log_scale.exp(), self.bias)
        return triplet(a, b, self.options.margin)


def _tower(weights: Mapping[str, Any], x: Any) -> Any:
    """One column's weights and x (n, dim_m), both arrays or both tensors → (n, dim)."""
    shared = x @ weights["map"] + weights["bias"]
    if "up" in weights:
        shared = shared + (x @ weights["up"] + weights["up_bias"]).clip(min=0) @ weights["down"]
    return shared


def _closer(mean: Weights, weights: Weights, share: float) -> Weights:
    """The mean so far, moved by a share of the way to other weights."""
    return {
        column: {key: array + np.float32(share) * (weights[column][key] - array) for key, array in own.items()}
        for column, own in mean.items()
    }


def _held_out(n_items: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of items → rows to train on, and rows to choose the epoch by; all for both where there are too few."""
    order = np.random.default_rng(seed).permutation(n_items)
    n_held = min(int(HELD_OUT * n_items), MOST_HELD_OUT)
    return (order[n_held:], order[:n_held]) if n_held >= 2 else (order, order)


def mean_reciprocal_rank(shared: Sequence[Vectors], present: NDArray[np.bool_]) -> float:
    """M unit vectors float32 (n, dim) and present bool (n, M) → the mean of 1 / rank of an item's own vector.

    Over all pairs of columns, both directions, and the items that have both; of equal similarity, the own one is last.
    """
    reciprocals = [np.zeros(0)]
    for first, second in combinations(range(len(shared)), 2):
        both = present[:, first] & present[:, second]
        similarity = shared[first][both] @ shared[second][both].T
        for scores in (similarity, similarity.T):
            reciprocals.append(1 / (scores >= scores.diagonal()[:, None]).sum(axis=1))
    found = np.concatenate(reciprocals)
    return float(found.mean()) if len(found) else 0.0
