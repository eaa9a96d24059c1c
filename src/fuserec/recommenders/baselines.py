"""The floor: models that any other must beat."""

from dataclasses import dataclass

import numpy as np

from fuserec.data.dataset import Dataset
from fuserec.recommenders.recommender import Recommender, Rows, Scores


@dataclass(kw_only=True, eq=False)
class Popular(Recommender):
    """The items that most users chose, the same for everybody."""

    def learn(self, dataset: Dataset) -> None:
        """Nothing beyond the counts that every model keeps."""

    def extend(self) -> None:
        """Nothing: nobody chose the new items."""

    def fold_in(self, users: Rows, kept: int) -> None:
        """Nothing: it is the same for everybody."""

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → how many users chose each item, float32 (b, n_items)."""
        return np.tile(self.popularity_, (len(users), 1))


@dataclass(kw_only=True, eq=False)
class Random(Recommender):
    """Items in random order, the same for a user every time: what a metric is worth without any knowledge."""

    seed: int = 0

    def learn(self, dataset: Dataset) -> None:
        """Nothing."""

    def extend(self) -> None:
        """Nothing."""

    def fold_in(self, users: Rows, kept: int) -> None:
        """Nothing."""

    def score(self, users: Rows) -> Scores:
        """User rows (b,) → uniform numbers in [0, 1), float32 (b, n_items), drawn by seed and user."""
        n_items = self.catalog_.n_items
        return np.stack([np.random.default_rng([self.seed, user]).random(n_items, np.float32) for user in users])
