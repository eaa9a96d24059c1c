"""Several rating models as one: their weighted sum, the weights fitted on ratings that none of them has seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from fuserec import registry
from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.ratings.predictor import RatingPredictor, Values, hold_out_ratings
from fuserec.recommenders.ensemble import Combination, name_and_options
from fuserec.recommenders.recommender import OnProgress, Rows


@dataclass(kw_only=True, eq=False)
class RatingEnsemble(RatingPredictor, Combination):
    """A sum of models with weights of 0 or more, and a constant (stacking, Breiman 1996).

    The weights are fitted on the validation part if there is one, and the models learn from training only. Without
    one, half of the ratings of half of the users are held out, the weights fitted there, and the models then learn
    from everything.

    weights_: float32 (n_models,); constant_: what is added
    """

    models: tuple[str | Mapping[str, Any], ...] = ("BayesianFactors", "GraphRatings")
    l2: float = 1.0  # draws weights to equal ones; as if of one rating in a hundred
    seed: int = 0  # of the hold-out, and of models that name none

    def learn(self, dataset: Dataset) -> None:
        """Fit models and weights, without a validation part."""
        self.learn_by(dataset, None, lambda told, done, total: None)

    def learn_by(self, dataset: Dataset, validation: Dataset | None, tell: OnProgress) -> None:
        """Fit weights on what models have not seen, then keep models fitted on the dataset."""
        if len(self.models) < 2 or self.l2 < 0.0:
            raise OptionError(f"RatingEnsemble: {len(self.models)} models, l2 {self.l2}; expected two or more, from 0")
        if validation is not None and len(validation.interactions):
            models = self._fitted_on(dataset, tell)
            self._weigh(models, validation)
        else:
            part, held = hold_out_ratings(dataset, self.seed)
            if not len(held.interactions):
                raise OptionError("RatingEnsemble: too few ratings to hold some out for the weights; use one model")
            self._weigh(self._fitted_on(part, tell), held)
            models = self._fitted_on(dataset, tell)
        self._keep(models)

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → the weighted sum, float32 (n,)."""
        found = [model.estimate(users, items) for model in self._fitted()]  # type: ignore[attr-defined]
        return np.asarray(self.constant_ + np.tensordot(self.weights_, found, 1), np.float32)

    def extend(self) -> None:
        """Let every model predict the new items."""
        RatingPredictor.extend(self)
        Combination.extend(self)

    def _fitted_on(self, dataset: Dataset, tell: OnProgress) -> list[RatingPredictor]:
        models = []
        for name, options in map(name_and_options, self.models):
            if "seed" in registry.load("rater", name).__dataclass_fields__:
                options.setdefault("seed", self.seed)
            models.append(registry.make("rater", name, options).fit(dataset, on_progress=tell))
        return models

    def _weigh(self, models: list[RatingPredictor], held: Dataset) -> None:
        """Least squares with weights from 0, drawn to the mean of the models."""
        rows = held.interactions
        assert rows.ratings is not None
        found = np.stack([model.estimate(rows.users, rows.items) for model in models], axis=1).astype(np.float64)
        center = found.mean(axis=0)
        pull = (self.l2 * len(rows) / 100 * found.var(axis=0).mean()) ** 0.5 * np.eye(len(models))
        design = np.concatenate([found - center, pull])
        target = np.concatenate([rows.ratings - rows.ratings.mean(), pull.sum(axis=1) / len(models)])
        weights, _ = nnls(design, target)
        self.weights_ = weights.astype(np.float32)
        self.constant_ = float(rows.ratings.mean() - center @ weights)
