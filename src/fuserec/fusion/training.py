"""Training of learned fusers: what users chose together → weights with which an item is found from the others.

For every item of a user's history, the mean of the vectors of the others must be nearer to it than to the items of
other users: a softmax over all items of the batch (InfoNCE: van den Oord 2018, eq. 4), each item once, with the log of
its popularity added to its logit, so that vectors need not tell how popular an item is (Menon 2021, eq. 10).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fuserec.device import check_device, one_thread, seeded

if TYPE_CHECKING:
    from torch import Tensor

Arrays: TypeAlias = dict[str, NDArray[np.float32]]
Weights: TypeAlias = "Mapping[str, Tensor]"
Forward: TypeAlias = "Callable[[Weights, Sequence[Tensor], Tensor], Tensor]"  # blocks, present → (n, dim)
Penalty: TypeAlias = "Callable[[Weights, Sequence[Tensor], Tensor], Tensor | float]"

MOST_PAIRS = 2_000  # of user and item: in a batch, and held out
STEPS = 20  # gradient steps between two looks at the held-out users


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to learn."""

    rounds: int  # of 20 steps each, at most
    patience: int  # rounds without a better held-out rank before it ends
    settle: int  # rounds before one may be kept; 0: the start may be kept too
    learning_rate: float
    drop: float  # the share of columns hidden from the network in training; an item keeps at least one
    batch: int  # users
    temperature: float  # at the start; it is learned
    held_out: float  # share of the users


def train(
    start: Arrays,
    forward: Forward,
    penalty: Penalty,
    blocks: Sequence[NDArray[np.float32]],
    present: NDArray[np.bool_],
    seen: csr_matrix,
    schedule: Schedule,
    *,
    fast: Sequence[str] = (),
    seed: int,
    device: str,
) -> Arrays:
    """Start weights, a network as a function of them, its blocks and presence, and who chose what → the best weights.

    `penalty`, of the same arguments as `forward`, is added to the loss. Best is the smallest mean log2 rank of the
    items of held-out users, each sought from the others of its user. The start is a candidate too, unless rounds are
    needed to `settle`; so training never ends below it there. Weights named in `fast` learn ten times as fast.
    """
    check_device(device)
    import torch
    from torch.nn.functional import cross_entropy, normalize

    rng = np.random.default_rng(seed)
    teachers, judges = _two_groups(seen, schedule.held_out, rng)
    if not len(teachers) or not len(judges):
        return start
    popularity = np.asarray(seen[teachers].sum(axis=0)).ravel() + 1.0
    with one_thread, seeded(seed):
        inputs = [torch.from_numpy(block).to(device) for block in blocks]
        there = torch.from_numpy(present).to(device)
        log_popularity = torch.from_numpy(np.log(popularity / popularity.sum())).float().to(device)
        weights = {name: torch.tensor(value, device=device, requires_grad=True) for name, value in start.items()}
        sharpness = torch.tensor(np.log(1.0 / schedule.temperature), device=device, requires_grad=True)
        groups: list[dict[str, Any]] = [
            {"params": [sharpness, *(value for name, value in weights.items() if name not in fast)]},
            {"params": [weights[name] for name in fast], "lr": 10 * schedule.learning_rate},
        ]
        optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate)

        def held_out_rank() -> float:
            with torch.no_grad():
                vectors = normalize(forward(weights, inputs, there), dim=1)
            return _mean_log_rank(vectors.cpu().numpy(), seen[judges])

        best, kept, since = np.inf if schedule.settle else held_out_rank(), start, 0
        for turn in range(schedule.rounds):
            for _ in range(STEPS):
                rows, history = _batch(
                    seen, rng.choice(teachers, min(schedule.batch, len(teachers)), replace=False), rng
                )
                shown = torch.from_numpy(_some(present[rows], schedule.drop, rng)).to(device)  # (n, M)
                chosen = torch.from_numpy(rows).to(device)
                hidden = [block[chosen] * shown[:, m, None] for m, block in enumerate(inputs)]
                vectors = normalize(forward(weights, hidden, shown), dim=1)  # (n, dim)
                chose = torch.from_numpy(history).to(device)  # (b, n)
                user, item = chose.nonzero(as_tuple=True)
                others = normalize((chose @ vectors)[user] - vectors[item], dim=1)  # (n_pairs, dim)
                logits = others @ vectors.T * sharpness.exp() + log_popularity[chosen]
                own = chose[user].bool()
                own[torch.arange(len(item)), item] = False
                loss = cross_entropy(logits.masked_fill(own, -torch.inf), item) + penalty(weights, hidden, shown)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if turn + 1 < schedule.settle:
                continue
            rank = held_out_rank()
            since += 1
            if rank < best:
                best, since = rank, 0
                kept = {name: value.detach().cpu().numpy().copy() for name, value in weights.items()}
            if since >= schedule.patience:
                break
    return kept


def _two_groups(
    seen: csr_matrix, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who chose what → users to learn from and users to judge by, of those who chose two items or more."""
    users = rng.permutation(np.flatnonzero(np.diff(seen.indptr) >= 2))
    n_judges = round(share * len(users))
    return users[n_judges:], users[:n_judges]


def _batch(
    seen: csr_matrix, users: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Users (b,) → the items they chose, rows (n,), and who chose which: float32 (b, n) of ones, two or more a user."""
    pairs = seen[users].tocoo()
    kept = rng.permutation(pairs.nnz)[:MOST_PAIRS]
    rows, column = np.unique(pairs.col[kept], return_inverse=True)
    history = np.zeros((len(users), len(rows)), np.float32)
    history[pairs.row[kept], column] = 1.0
    return rows.astype(np.int64), history[history.sum(axis=1) >= 2]


def _some(present: NDArray[np.bool_], drop: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Presence (n, M) → the same with a share `drop` hidden, but at least one left of those that were there."""
    luck = np.where(present, rng.random(present.shape), -1.0)
    shown: NDArray[np.bool_] = present & ((luck >= drop) | (luck == luck.max(axis=1, keepdims=True)))
    return shown


def _mean_log_rank(vectors: NDArray[np.float32], seen: csr_matrix) -> float:
    """Unit vectors (n_items, dim) and histories → mean log2 of the rank of each item, sought from its user's others.

    Rank 1 is the best; the user's other items are not in the way.
    """
    logs = []
    for start in range(0, seen.shape[0], 64):
        chose = seen[start : start + 64].toarray()  # (b, n_items)
        user, item = (chose.nonzero()[axis][:MOST_PAIRS] for axis in range(2))
        others = (chose @ vectors)[user] - vectors[item]
        scores = others @ vectors.T  # (n_pairs, n_items); the length of `others` changes no rank
        own = scores[np.arange(len(item)), item]
        ahead = ((scores > own[:, None]) & (chose[user] == 0)).sum(axis=1)
        logs.append(np.log2(1.0 + ahead))
    return float(np.concatenate(logs).mean())
