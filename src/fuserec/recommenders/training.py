"""The training loop that learned recommenders share: epochs of gradient steps, the best one by validation kept.

A model brings its start weights and a loss over examples; the loop brings shuffling, Adam, the moving average of the
weights, validation, patience, checkpoints and the check for numbers that are none.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from fuserec import metrics
from fuserec.atomic import new_file
from fuserec.data.dataset import Dataset
from fuserec.device import check_device, one_thread
from fuserec.errors import ArtifactError, DataError, OptionError
from fuserec.recommenders.recommender import OnProgress, Recommender, Rows, Scores
from fuserec.retrieval import block_rows

if TYPE_CHECKING:
    from torch import Tensor

Arrays: TypeAlias = dict[str, NDArray[np.float32]]
Weights: TypeAlias = "dict[str, Tensor]"
Loss: TypeAlias = "Callable[[Weights, Rows, np.random.Generator], Tensor]"  # weights, examples (b,), chance → a number
Judge: TypeAlias = "Callable[[Weights], float] | None"  # weights → how good they are; None: by the loss

K = 20  # validation is ndcg@20
MOST_USERS = 5_000  # of whom validation asks
LEAST_STEPS = 16  # an epoch of a small dataset has this many, so that 50 epochs are enough to learn


@dataclass(kw_only=True, eq=False)
class TrainedRecommender(Recommender):
    """A model that learns by gradient steps: the options of the loop, and what is known afterwards.

    With a validation part (`fit(train, validation)`, and so in `evaluate`) the epoch that is best there is kept.
    Without one, 5 % of the interactions of users with three or more are held out for that, drawn by `seed`;
    where there are no such users, the loss judges.

    losses_, validation_: float32 (n_epochs,), mean loss and ndcg@20 after each epoch
    """

    epochs: int = 50
    patience: int = 20  # epochs without a better validation before it ends; some models rise after a long plateau
    batch: int = 2_048  # interactions in a gradient step; fewer where an epoch would have under 16 steps
    steps: int = 64  # gradient steps of an epoch at most: batches grow with large data, so that time is linear in them
    learning_rate: float = 2e-3
    average: float = 0.0  # decay, a step, of the moving average of the weights that is kept; 0: the last weights
    seed: int = 0
    device: str = "cpu"
    precision: Literal["full", "half"] = "full"  # half: products of matrices in bfloat16; slow on most processors
    checkpoint: str = ""  # a folder: every epoch is saved there, and a run that was cut off goes on from it

    def learn(self, dataset: Dataset) -> None:
        """Hold out interactions of the dataset, and learn from the others."""
        self.learn_by(dataset, None, lambda told, done, total: None)

    def train(
        self, start: Arrays, loss: Loss, judge: Judge, examples: int, dataset: Dataset, tell: OnProgress
    ) -> Arrays:
        """Start weights, the loss of some of `examples` rows, and a judge → the weights of the best epoch.

        Raises `DataError` where the loss is not a number, `OptionError` for a device that is not there.
        """
        check_device(self.device)
        for option in ("epochs", "patience", "batch", "steps"):
            if getattr(self, option) < 1:
                raise OptionError(f"{type(self).__name__}: {option} is {getattr(self, option)}; expected 1 or more")
        with one_thread:
            loop = _Loop(self, start, self._state_file(dataset))
            while loop.epoch < self.epochs and loop.since < self.patience:
                loop.run_epoch(loss, judge, examples)
                told = f"loss {loop.losses[-1]:.4f}, validation ndcg@{K} {loop.validation[-1]:.4f}"
                tell(f"{type(self).__name__} epoch {loop.epoch}: {told}", loop.epoch, self.epochs)
        self.losses_, self.validation_ = np.array(loop.losses, np.float32), np.array(loop.validation, np.float32)
        return loop.kept

    def _tensor(self, array: NDArray[Any]) -> "Tensor":
        """An array → the same on `device`."""
        import torch

        return torch.from_numpy(array).to(self.device)

    def _state_file(self, dataset: Dataset) -> Path | None:
        """Where the state after an epoch is saved: a name of its own for each model, options, and dataset."""
        if not self.checkpoint:
            return None
        free = ("epochs", "patience", "checkpoint", "device")  # may change when a run goes on
        options = {name: value for name, value in self.options().items() if name not in free}
        told = json.dumps([options, dataset.sha256, len(dataset.interactions)], sort_keys=True, default=str)
        mark = hashlib.sha256(told.encode()).hexdigest()[:12]
        folder = Path(self.checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{type(self).__name__}-{mark}.safetensors"


class _Loop:
    """The state of a training run: weights, optimizer, the best so far; from its file, where there is one."""

    def __init__(self, options: TrainedRecommender, start: Arrays, file: Path | None) -> None:
        import torch

        self.options, self.file = options, file
        self.epoch, self.since, self.best = 0, 0, -np.inf
        self.losses: list[float] = []
        self.validation: list[float] = []
        self.kept = start
        arrays = {f"weights/{name}": value for name, value in start.items()}
        if file is not None and file.exists():
            arrays, about = _read_state(file)
            self.epoch, self.since, self.best = about["epoch"], about["since"], about["best"]
            self.losses, self.validation = about["losses"], about["validation"]
            self.kept = _part(arrays, "kept")
        self.weights = {
            name: torch.tensor(value, device=options.device, requires_grad=True)
            for name, value in _part(arrays, "weights").items()
        }
        self.smooth = self.weights
        if options.average:
            stored = _part(arrays, "smooth") or _part(arrays, "weights")
            self.smooth = {name: torch.tensor(value, device=options.device) for name, value in stored.items()}
        self.moments = {
            name: {key: torch.zeros_like(weight) for key in ("exp_avg", "exp_avg_sq")}
            | {"step": torch.zeros((), device=options.device)}
            for name, weight in self.weights.items()
        }
        for name, moments in self.moments.items():
            stored = _part(arrays, f"adam/{name}")
            moments.update({key: torch.tensor(value, device=options.device) for key, value in stored.items()})

    def run_epoch(self, loss: Loss, judge: Judge, examples: int) -> None:
        """One pass over the examples, validation, and the state saved."""
        import torch

        rng = np.random.default_rng([self.options.seed, self.epoch])  # needs no state of chance in the file
        order = rng.permutation(examples)
        steps = max(-(-examples // self.options.batch), min(LEAST_STEPS, examples))
        steps = min(steps, self.options.steps)
        total, kind = 0.0, torch.device(self.options.device).type
        for rows in np.array_split(order, steps):
            with torch.autocast(kind, torch.bfloat16, enabled=self.options.precision == "half"):
                value = loss(self.weights, rows, rng)
            if not torch.isfinite(value):
                name, rate = type(self.options).__name__, self.options.learning_rate
                raise DataError(
                    f"{name}: the loss is {value.item()} in epoch {self.epoch + 1}; use a learning_rate below {rate}, "
                    "or look for extreme values in the vectors"
                )
            for weight in self.weights.values():
                weight.grad = None
            value.backward()  # type: ignore[no-untyped-call]
            self._step()
            if self.options.average:
                with torch.no_grad():
                    for key, weight in self.weights.items():
                        self.smooth[key].lerp_(weight, 1.0 - self.options.average)
            total += value.item() * len(rows)
        mean = total / examples
        with torch.no_grad():
            quality = -mean if judge is None else judge(self.smooth)
        self.epoch, self.since = self.epoch + 1, self.since + 1
        self.losses.append(mean)
        self.validation.append(quality)
        if quality > self.best:
            self.best, self.since, self.kept = quality, 0, _arrays(self.smooth)
        if self.file is not None:
            self._save(self.file)

    def _step(self) -> None:
        """Adam (Kingma and Ba 2015, algorithm 1), by the call that `torch.optim.Adam(fused=True)` makes, bit for bit.

        One pass over weights that may be large. The class would load torch's compiler, tens of megabytes.
        """
        import torch

        learned = {name: weight for name, weight in self.weights.items() if weight.grad is not None}
        if not learned:  # a loss of none of them, as benchmarks/scale.py has for the steps that it leaves out
            return
        of = {key: [self.moments[name][key] for name in learned] for key in ("exp_avg", "exp_avg_sq", "step")}
        with torch.no_grad():
            torch._foreach_add_(of["step"], 1)
            torch._fused_adam_(
                list(learned.values()),
                [weight.grad for weight in learned.values() if weight.grad is not None],
                of["exp_avg"],
                of["exp_avg_sq"],
                [],
                of["step"],
                lr=self.options.learning_rate,
                beta1=0.9,
                beta2=0.999,
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )

    def _save(self, file: Path) -> None:
        arrays = {f"kept/{name}": value for name, value in self.kept.items()}
        arrays |= {f"weights/{name}": value for name, value in _arrays(self.weights).items()}
        if self.options.average:
            arrays |= {f"smooth/{name}": value for name, value in _arrays(self.smooth).items()}
        for name, moments in self.moments.items():
            arrays |= {f"adam/{name}/{key}": value for key, value in _arrays(moments).items()}
        about = {key: getattr(self, key) for key in ("epoch", "since", "best", "losses", "validation")}
        with new_file(file) as place:
            save_file(arrays, place, {"about": json.dumps(about)})


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Users with held-out items, by whom a model is judged.

    users: rows int64 (n,); seen: CSR (n, n_items), what is not ranked; relevant: CSR (n, n_items), what is sought
    """

    users: Rows
    seen: csr_matrix
    relevant: csr_matrix

    @classmethod
    def of(cls, seen: csr_matrix, validation: csr_matrix, seed: int, most: int = MOST_USERS) -> "HeldOut":
        """What users chose in training and in validation, CSR → up to `most` users with an item that is new to them.

        Users without a history are left out: what they are recommended is what is popular, whatever a model learns.
        """
        new = (validation - validation.multiply(seen)).tocsr()
        new.eliminate_zeros()
        users = np.flatnonzero(np.diff(new.indptr) * np.diff(seen.indptr))
        users = np.sort(np.random.default_rng(seed).permutation(users)[:most])
        return cls(users, seen[users], new[users])

    def blocks(self) -> "list[HeldOut]":
        """The same in parts, of so many users that their scores and what is made of them are not too large."""
        size = max(16, block_rows(self.seen.shape[1]))  # fewer would read all items' vectors for next to nothing
        starts = range(0, len(self.users), size)
        return [
            HeldOut(*(part[start : start + size] for part in (self.users, self.seen, self.relevant)))
            for start in starts
        ]

    def ndcg(self, scores: Scores, k: int = K) -> NDArray[np.float64]:
        """Scores of every item for these users (n, n_items) → ndcg@k of each (see `metrics.ndcg`), float64 (n,).

        It counts the items that are ahead of those sought, which is faster than to sort. Seen items become -inf.
        """
        n_items = scores.shape[1]
        scores[np.repeat(np.arange(len(scores)), np.diff(self.seen.indptr)), self.seen.indices] = -np.inf
        n_relevant = np.diff(self.relevant.indptr)
        user, item = np.repeat(np.arange(len(scores)), n_relevant), self.relevant.indices
        hits = np.zeros((len(scores), k), bool)
        for place in range(n_relevant.max(initial=0)):  # the first item sought by each user, then the second, ...
            of = self.relevant.indptr[:-1][n_relevant > place] + place
            mine = scores[user[of]] if len(of) < len(scores) else scores
            own = mine[np.arange(len(of)), item[of], None]
            ahead = (mine > own).sum(axis=1) + ((mine == own) & (np.arange(n_items) < item[of, None])).sum(axis=1)
            hits[user[of][ahead < k], ahead[ahead < k]] = True
        return metrics.ndcg(hits, n_relevant)


def hold_out(dataset: Dataset, seed: int, share: float = 0.05) -> tuple[Dataset, Dataset]:
    """Dataset → all but a share of the interactions of users with three or more, and that share, drawn by the seed.

    At most one interaction of a user is held out.
    """
    interactions = dataset.interactions
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(interactions))
    _, first = np.unique(interactions.users[order], return_index=True)  # one interaction of each user, at random
    may = order[first]
    may = may[np.bincount(interactions.users)[interactions.users[may]] >= 3]
    n = min(len(may), max(1, round(share * len(interactions))))
    held = np.zeros(len(interactions), bool)
    held[rng.permutation(may)[:n]] = True
    return (
        replace(dataset, interactions=interactions.take(~held)),
        replace(dataset, interactions=interactions.take(held)),
    )


def _arrays(tensors: Any) -> Arrays:
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}


def _part(arrays: Arrays, name: str) -> Arrays:
    """The arrays whose names begin with `name/`, without that."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _read_state(file: Path) -> tuple[Arrays, dict[str, Any]]:
    try:
        with safe_open(file, framework="numpy") as stored:
            return {key: stored.get_tensor(key) for key in stored.keys()}, json.loads(stored.metadata()["about"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{file} is not a checkpoint of fuserec ({error}); remove it to start anew") from error
