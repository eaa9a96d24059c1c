"""Models made of models, and one model trained with several seeds."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuserec import registry
from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.recommenders.factors import Factors
from fuserec.recommenders.recommender import OnProgress, Recommender, Rows, Scores, shares

WIDE = 32  # users in a block from which one product of all vectors pays
# What all models share.
EVERYWHERE = ("catalog_", "users_", "seen_", "order_", "times_", "popularity_", "embeddings_", "stages_")


@dataclass(kw_only=True, eq=False)
class Combination(Recommender):
    """A model made of others.

    models_: the fitted models, without what all of them share
    """

    def _keep(self, models: Sequence[Recommender]) -> None:
        self.models_ = tuple(copy(model) for model in models)
        vars(self).pop("_side_by_side", None)  # of the models before
        for model in self.models_:
            for name in EVERYWHERE:
                delattr(model, name)

    def _fitted(self) -> list[Recommender]:
        """The models, with what they share."""
        models = [copy(model) for model in self.models_]
        for model in models:
            vars(model).update({name: getattr(self, name) for name in EVERYWHERE})
        return models

    def extend(self) -> None:
        """Let every model score the new items."""
        models = self._fitted()
        for model in models:
            model.extend()
        self._keep(models)

    def fold_in(self, users: Rows, kept: int) -> None:
        """Let every model know the new histories."""
        models = self._fitted()
        for model in models:
            model.fold_in(users, kept)
        self._keep(models)


@dataclass(kw_only=True, eq=False)
class Seeds(Combination):
    """The mean of the scores of one model trained with several seeds: what only one of them believes is chance.

    Of one seed less is to be expected: no two that learn from the same data make the same mistakes (Hansen 1990).
    """

    model: str | Mapping[str, Any] = "LightGCN"  # name, or {name, options ...}; its own seed is not used
    seeds: int = 4
    seed: int = 0  # seed 1 of 4 seeds trains with 4, 5, 6 and 7
    workers: int = 1  # how many train at the same time, each on one core; the result is the same

    def learn(self, dataset: Dataset) -> None:
        """Train the model with every seed, each holding out for itself."""
        self.learn_by(dataset, None, lambda told, done, total: None)

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Train the model with every seed."""
        name, options = name_and_options(self.model)
        if self.seeds < 1 or self.workers < 1:
            raise OptionError(f"Seeds: seeds is {self.seeds}, workers {self.workers}; expected 1 or more")
        if "seed" not in registry.load("recommender", name).__dataclass_fields__:
            raise OptionError(f"Seeds: {name} has no seed, so it would be the same model every time")

        def fitted(place: int) -> Recommender:
            seed = self.seed * self.seeds + place
            model: Recommender = registry.make("recommender", name, {**options, "seed": seed})
            return model.fit(
                dataset,
                validation,
                on_progress=lambda told, done, total: tell(
                    f"seed {place + 1} of {self.seeds}: {told}", place * total + done, self.seeds * total
                ),
            )

        with ThreadPoolExecutor(self.workers) as pool:
            self._keep(list(pool.map(fitted, range(self.seeds))))

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → the mean of the scores, float32 (b, n_items)."""
        factors = [model for model in self.models_ if isinstance(model, Factors)]
        if factors and len(users) >= WIDE:
            return self._mean_of_products(factors, users)
        first, *others = self._fitted()
        total = first.score(users)
        for model in others:
            total += model.score(users)
        total /= self.seeds
        return total

    def _mean_of_products(self, models: Sequence[Factors], users: Rows) -> Scores:
        """As `score`, for models whose scores are products of vectors: one product of all of them side by side."""
        mine = np.concatenate([model.user_vectors_[users] for model in models], axis=1)
        if "_side_by_side" not in vars(self):  # (n_items, n_models * d)
            self._side_by_side = np.concatenate([model.item_vectors_ for model in models], axis=1)
        scores: Scores = (mine / np.float32(len(models))) @ self._side_by_side.T
        scores[np.diff(self.seen_.indptr)[users] == 0] = self.popularity_
        return scores

    def score_similar(self, item: int) -> Scores:
        """An item's row → the mean of how similar the models find every other."""
        return np.asarray(np.mean([model.score_similar(item) for model in self._fitted()], axis=0), np.float32)

    def explain(self, user: int, items: Rows) -> list[dict[str, float]]:
        """A user's row and item rows (m,) → the mean of the shares that the models name."""
        by_model = [model.explain(user, items) for model in self._fitted()]
        told = []
        for parts in zip(*by_model, strict=True):
            names = list(dict.fromkeys(name for part in parts for name in part))
            mean = np.array([np.mean([part.get(name, 0.0) for part in parts]) for name in names])
            named = shares(names, mean) if names else {}
            told.append({name: share * float(mean.sum()) for name, share in named.items()})
        return told


def name_and_options(model: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A model as an option of another, its name or `{name = ..., option = ...}` → name and options."""
    options = {"name": model} if isinstance(model, str) else dict(model)
    if "name" not in options:
        raise OptionError(f"the model {options} has no name; write {{name = ..., option = ...}}")
    return options.pop("name"), options
