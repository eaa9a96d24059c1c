"""Late fusion of models: several recommenders → one, by their ranks or by their scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserec import registry
from fuserec.data.dataset import Dataset
from fuserec.errors import DataError, OptionError
from fuserec.fusion import late
from fuserec.preparation.split import split_last
from fuserec.recommenders.ensemble import Combination, name_and_options
from fuserec.recommenders.recommender import OnProgress, Recommender, Rows, Scores, shares
from fuserec.recommenders.training import HeldOut

STEPS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # weights that are tried
SWEEPS, MOST_USERS = 3, 2_000


@dataclass(kw_only=True, eq=False)
class LateFusion(Combination):
    """Several models, whose rankings or scores for a user become one: better than fused vectors more often than not.

    rrf       the sum of 1 / (60 + rank) (Cormack 2009); needs no weights and no common scale
    combsum   the sum of normalized scores (Fox and Shaw 1994)
    combmnz   that times the number of models that find an item better than their worst (the same)
    weighted  the weighted sum of normalized scores, the weights given or fitted

    Items that the user has seen are left out before ranks and normalized scores are taken. Fitted weights: coordinate
    ascent looks for those with the best ndcg@20 on the validation part, for up to 2,000 users. Without a validation
    part, models are trained without the last two choices of each user for that, and then on everything.

    An item that nobody chose is known by what it is alone: `cold_weights` are for those, so that models which learned
    that it is never chosen do not speak of it.

    weights_: float32 (n_models,), ones unless weighted
    """

    models: tuple[str | Mapping[str, Any], ...] = ("ItemNeighbors", "ContentNeighbors")  # name, or {name, options ...}
    method: Literal["rrf", "combsum", "combmnz", "weighted"] = "rrf"
    normalization: Literal["min-max", "z-score"] = "min-max"
    weights: tuple[float, ...] = ()  # for `weighted`, one a model; none: fitted on held-out choices
    cold_weights: tuple[float, ...] = ()  # the same, for items that nobody chose; none: the same weights
    seed: int = 0  # of models that have one and are not given it, and of the users that weights are fitted on

    def learn(self, dataset: Dataset) -> None:
        """Fit every model, and the weights where they are asked for and not given, on choices held out for that."""
        self.learn_by(dataset, None, lambda told, done, total: None)

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Fit every model, and the weights where they are asked for and not given."""
        self._check_options()
        unknown = self.method == "weighted" and not self.weights
        self.weights_ = np.array(self.weights or np.ones(len(self.models)), np.float32)
        if unknown and validation is None:
            self.weights_ = self._weights_by_last_choices(dataset, tell)
        models = [model.fit(dataset, validation, on_progress=tell) for model in self._unfitted()]
        if unknown and validation is not None:
            held_out = HeldOut.of(dataset.seen, validation.seen, self.seed, MOST_USERS)
            self.weights_ = self._fitted_weights(models, held_out)
        self._keep(models)

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → fused scores float32 (b, n_items); 0 for items that the user has seen."""
        models = self._fitted()
        if self.normalization == "min-max" and self.method in ("weighted", "combsum"):
            scores = [model.score(users) for model in models]
            if all(np.isfinite(one.min()) for one in scores):
                cold = np.flatnonzero(self.popularity_ == 0) if self.cold_weights else None
                seen = self.seen_[users].nonzero()
                return late.weighted_min_max(scores, self.weights_.tolist(), seen, cold, self.cold_weights)
        return self._fuse(self._scores(models, users))

    def score_similar(self, item: int) -> Scores:
        """An item's row → the fusion of how similar each model finds every other item."""
        scores = [model.score_similar(item)[None, :].copy() for model in self._fitted()]
        for one in scores:
            one[0, item] = -np.inf
        fused: Scores = self._fuse(scores)[0]
        return fused

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → each model's share of the score."""
        scores = self._scores(self._fitted(), np.array([user]))
        weights = np.tile(self.weights_, (len(items), 1)).T  # (n_models, m)
        if self.cold_weights:
            weights[:, self.popularity_[items] == 0] = np.array(self.cold_weights)[:, None]
        alone = [
            weight * (late.reciprocal_rank([one]) if self.method == "rrf" else self._normalized(one))[0, items]
            for weight, one in zip(weights, scores, strict=True)
        ]
        parts = np.maximum(alone, 0.0)  # (n_models, m)
        return [shares(self._labels(), column) for column in parts.T]

    def _fuse(self, scores: list[Scores]) -> Scores:
        if self.method == "rrf":
            return late.reciprocal_rank(scores)
        normalized = [self._normalized(one) for one in scores]
        if self.method == "combmnz":
            return late.comb_mnz(normalized)
        fused = late.weighted_sum(normalized, self.weights_.tolist())
        if self.cold_weights:
            cold = np.flatnonzero(self.popularity_ == 0)
            fused[:, cold] = late.weighted_sum([one[:, cold] for one in normalized], self.cold_weights)
        return fused

    def _normalized(self, scores: Scores) -> Scores:
        return late.NORMALIZATIONS[self.normalization](scores)

    def _scores(self, models: Sequence[Recommender], users: Rows) -> list[Scores]:
        """Fitted models and user rows → each model's scores (b, n_items), -inf where seen."""
        seen = models[0].seen_[users].tocoo()
        scores = [model.score(users) for model in models]
        for one in scores:
            one[seen.row, seen.col] = -np.inf
        return scores

    def _weights_by_last_choices(self, dataset: Dataset, tell: OnProgress) -> NDArray[np.float32]:
        try:
            parts = split_last(dataset)
        except DataError as error:
            raise DataError(
                f"LateFusion fits weights on the last choices of users with three or more; {dataset.name} has no such "
                "user; give weights, or use method='rrf'"
            ) from error
        models = [model.fit(parts.train, on_progress=tell) for model in self._unfitted()]
        last = parts.validation.seen + parts.test.seen
        return self._fitted_weights(models, HeldOut.of(parts.train.seen, last, self.seed, MOST_USERS))

    def _fitted_weights(self, models: Sequence[Recommender], held_out: HeldOut) -> NDArray[np.float32]:
        """Fitted models and users to judge by → the weights with which they rank best; ones where nobody is left."""
        blocks = held_out.blocks()
        if not blocks:
            return np.ones(len(models), np.float32)
        normalized = [[self._normalized(one) for one in self._scores(models, block.users)] for block in blocks]

        def ndcg(weights: NDArray[np.float32]) -> float:
            values = [
                block.ndcg(late.weighted_sum(scores, weights.tolist()))
                for block, scores in zip(blocks, normalized, strict=True)
            ]
            return float(np.concatenate(values).mean())

        return coordinate_ascent(ndcg, len(models))

    def _unfitted(self) -> list[Recommender]:
        models = []
        for name, options in map(name_and_options, self.models):
            if "seed" in registry.load("recommender", name).__dataclass_fields__:
                options.setdefault("seed", self.seed)
            models.append(registry.make("recommender", name, options))
        return models

    def _labels(self) -> list[str]:
        labels = []
        for name, options in map(name_and_options, self.models):
            told = ", ".join(f"{key}={value}" for key, value in options.items())
            labels.append(f"{name}({told})" if told else name)
        return labels

    def _check_options(self) -> None:
        if len(self.models) < 2 or len(set(self._labels())) < len(self.models):
            raise OptionError(f"LateFusion: models are {self._labels()}; expected two or more different ones")
        for weights in filter(None, (self.weights, self.cold_weights)):
            if self.method != "weighted":
                raise OptionError(f"LateFusion: weights are for method='weighted'; method is {self.method!r}")
            late.check_weights(weights, len(self.models))
        if self.method == "combmnz" and self.normalization != "min-max":
            raise OptionError("LateFusion: combmnz counts scores above 0, so it wants normalization='min-max'")


def coordinate_ascent(quality: Callable[[NDArray[np.float32]], float], n_weights: int) -> NDArray[np.float32]:
    """Weights float32 (n_weights,) → quality: the weights of best quality, changing one at a time, from all ones.

    Each weight in turn takes the best of `STEPS`; up to three sweeps, fewer where a sweep gains nothing. A tie changes
    nothing.
    """
    weights = np.ones(n_weights, np.float32)
    best = quality(weights)
    for _ in range(SWEEPS):
        before = best
        for place in range(n_weights):
            for step in STEPS:
                tried = weights.copy()
                tried[place] = step
                if tried.any() and (found := quality(tried)) > best:
                    best, weights = found, tried
        if best == before:
            break
    return weights
