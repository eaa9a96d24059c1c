"""MultiInterest: several vectors a user, one for each thing that he is interested in."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fuserec.alignment.clusters import name_items
from fuserec.data.embeddings import unit
from fuserec.device import one_thread
from fuserec.errors import OptionError
from fuserec.recommenders.networks import dense, dropped
from fuserec.recommenders.recommender import Rows, Scores
from fuserec.recommenders.sequential import SequentialRecommender
from fuserec.recommenders.training import Arrays, Weights
from fuserec.retrieval import top_k

if TYPE_CHECKING:
    from torch import Generator, Tensor

LEAST_NEAR = 25  # items by which an interest is named
POOL = 10  # how many times k items are looked at where lists are to be diverse


@dataclass(frozen=True, eq=False)
class Interest:
    """One of the things that a user is interested in.

    name: typical words of the items nearest to it
    share: of the history, 0 to 1, what is old counting less (`half_life`); base: of the items that somebody chose
    because: rows of the items of the history that say so, the nearest first
    typical: of the items of the catalog that it scores better than the others do, the nearest; nearest: more of those,
    5 % of the catalog, or 25; of: bool (n_items,), all of them
    """

    name: str
    share: float
    base: float
    because: tuple[int, ...]
    typical: tuple[int, ...]
    nearest: tuple[int, ...]
    of: NDArray[np.bool_]


@dataclass(kw_only=True, eq=False)
class MultiInterest(SequentialRecommender):
    """Several interest vectors a user; an item scores by the nearest of them (ComiRec: Cen 2020).

    attention  each interest has its own attention over the history (section 3.2.2, eq. 4 to 6)
    routing    items are capsules, sent on to the interests that they agree with (section 3.2.1, algorithm 1)

    In training, the interest nearest to the item that comes next is the one that learns (eq. 8). With `half_life`, what
    was chosen that much earlier counts half in an interest. `diversity` is the controllable factor of the paper
    (algorithm 2): a place of the list goes to the item with the most of score + diversity * the share of the items
    placed before that are of another cluster; scores are scaled to 0 to 1 over the best items.

    clusters_: int64 (n_items,), of items by their vectors, which `diversity` goes by
    """

    interests: int = 4
    extraction: Literal["attention", "routing"] = "attention"
    half_life: float = field(default=0.0)  # days, where times are known, else items; 0: age does not count
    diversity: float = field(default=0.0, metadata={"space": (0.0, 0.9)})  # 0 or more
    hidden: int = 128  # of the attention
    rounds: int = 3  # of routing
    clusters: int = 16

    def network(self, rng: np.random.Generator) -> Arrays:
        """The weights of the attention or of the routing; where routing begins is drawn once (Li 2019, section 3.2)."""
        for option in ("interests", "hidden", "rounds", "clusters"):
            if getattr(self, option) < 1:
                raise OptionError(f"MultiInterest: {option} is {getattr(self, option)}; expected 1 or more")
        for option in ("half_life", "diversity"):
            if getattr(self, option) < 0.0:
                raise OptionError(f"MultiInterest: {option} is {getattr(self, option)}; expected 0 or more")
        d, n = self.dim, self.interests
        if self.extraction == "routing":
            return {"route": dense(rng, d, d), "begin": rng.standard_normal((self.length, n), dtype=np.float32)}
        places = 0.02 * rng.standard_normal((self.length, d), dtype=np.float32)
        return {"places": places, "attend": dense(rng, d, self.hidden), "to": dense(rng, self.hidden, n)}

    def read(
        self, weights: Weights, inputs: "Tensor", real: "Tensor", ages: "Tensor", chance: "Generator | None"
    ) -> "Tensor":
        """The interests after each place, (b, l, interests, d)."""
        import torch

        n = inputs.shape[1]
        places = torch.arange(n, device=inputs.device)
        seen = (places[:, None] >= places) & real[:, None, :]  # (b, l, l): what of the history is known at a place
        seen = seen | (places[:, None] == places)
        faded = torch.zeros(1, device=inputs.device)
        if self.half_life:  # the log of what an item's age leaves of it
            faded = (ages[:, None, :] - ages[:, :, None]).clamp(max=0.0) * (np.log(2.0) / self.half_life)
        inputs = dropped(inputs, self.dropout, chance)
        if self.extraction == "attention":
            placed = inputs + weights["places"][self.length - n :]
            logits = torch.tanh(placed @ weights["attend"]) @ weights["to"]  # (b, l, interests)
            weighed = logits.transpose(1, 2)[:, None] + faded.unsqueeze(-2)  # (b, l, interests, l)
            return weighed.masked_fill(~seen[:, :, None], -torch.inf).softmax(-1) @ inputs[:, None]
        sent = inputs @ weights["route"]  # (b, l, d)
        kept = (seen * faded.exp())[:, :, None]  # (b, l, 1, l)
        logits = weights["begin"].detach()[self.length - n :].T[None, None]  # (1, 1, interests, l)
        for left in reversed(range(self.rounds)):
            capsules = squashed((logits.softmax(-2) * kept) @ sent[:, None])  # (b, l, interests, d)
            if left:
                logits = logits + capsules.detach() @ sent[:, None].transpose(2, 3).detach()
        return capsules

    def extend(self) -> None:
        """The vectors of all items, and their clusters."""
        from sklearn.cluster import KMeans

        super().extend()
        vectors = unit(self.item_vectors_)
        known = vectors.any(axis=1)
        n = min(self.clusters, len(np.unique(vectors[known], axis=0)))
        self.clusters_ = np.full(len(vectors), -1, np.int64)
        if n:
            self.clusters_[known] = KMeans(n, n_init=2, random_state=self.seed).fit_predict(vectors[known])

    def choose(self, scores: Scores, k: int) -> Rows:
        """Scores float32 (b, n_items), -inf where not allowed → item rows int64 (b, k), clusters mixed."""
        if not self.diversity:
            return top_k(scores, k)
        pool = top_k(scores, POOL * k)  # (b, p), best first
        value = np.take_along_axis(scores, pool, axis=1)
        allowed = np.isfinite(value)
        low = np.min(value, axis=1, where=allowed, initial=np.inf)[:, None]
        span = np.maximum(value[:, :1] - low, 1e-9)
        value = np.where(allowed, (value - low) / span, -np.inf)
        of, here = self.clusters_[pool], np.arange(len(pool))
        unlike = np.zeros(pool.shape, np.float32)  # how many of those placed are of another cluster
        lists = np.empty((len(pool), k), np.int64)
        for place in range(k):
            best = (value + self.diversity * unlike / max(place, 1)).argmax(axis=1)
            lists[:, place] = np.where(value[here, best] > -np.inf, pool[here, best], -1)
            value[here, best] = -np.inf
            unlike += of != of[here, best, None]
        return lists

    def interests_of(self, user: int, n_items: int = 5, *, named: bool = True) -> list[Interest]:
        """A user's row → his interests, the largest share of the history first.

        Each item of the history belongs to the interest whose vector scores it best; one without any is left out.
        named: without, names are empty, which saves reading all texts.
        """
        import torch

        history = self.history
        read, times = (one[-self.length :].astype(np.int64) for one in history.of_user(user))
        if not len(read):
            return []
        ages = (times[-1] - times) / 86_400.0 if len(times) else np.arange(len(read))[::-1]
        weights_of = 0.5 ** (ages / self.half_life) if self.half_life else np.ones(len(read))
        with torch.no_grad(), one_thread:
            weights = {name: self._tensor(value) for name, value in self.weights_.items()}
            windows = history.windows(np.array([user]), np.diff(history.starts)[[user]], self.length)
            readings = self.readings(weights, self.item_vectors_, *windows)[0]  # (interests, d)
        products = readings @ self.item_vectors_.T  # (interests, n_items)
        best = products.argmax(axis=0)  # (n_items,)
        shares = np.bincount(best[read], weights_of / weights_of.sum(), len(readings))
        bases = np.bincount(best[self.popularity_ > 0], minlength=len(readings)) / (self.popularity_ > 0).sum()
        n_near = max(LEAST_NEAR, len(best) // 20)
        by_product = np.argsort(-products, axis=1, kind="stable")
        near = [rows[best[rows] == place][:n_near] for place, rows in enumerate(by_product)]
        names = self._names(near, len(best)) if named else ("",) * len(near)
        found = []
        for place in np.argsort(-shares, kind="stable"):
            own = read[best[read] == place]
            if len(own):
                because = own[np.argsort(-products[place, own], kind="stable")][:n_items]
                found.append(
                    Interest(
                        name=names[place],
                        share=float(shares[place]),
                        base=float(bases[place]),
                        because=tuple(map(int, because)),
                        typical=tuple(map(int, near[place][:n_items])),
                        nearest=tuple(map(int, near[place])),
                        of=best == place,
                    )
                )
        return found

    def _names(self, near: list[Rows], n_items: int) -> tuple[str, ...]:
        """Rows of the items nearest to each interest → typical words of them, as clusters are named."""
        of = np.full(n_items, len(near), np.int64)  # the others, from which words are to tell them
        for place, rows in enumerate(near):
            of[rows] = place
        return name_items(self.catalog_, of)[: len(near)]


def squashed(vectors: "Tensor") -> "Tensor":
    """Vectors (..., d) → the same direction at a length below 1 (Sabour 2017, eq. 1)."""
    squares = (vectors**2).sum(-1, keepdim=True)
    return squares / (1.0 + squares) * vectors / (squares + 1e-9).sqrt()
