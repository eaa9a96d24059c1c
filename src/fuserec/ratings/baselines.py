"""The floor of rating prediction: the mean, and who rates high and what is rated high."""

from dataclasses import dataclass

from fuserec.data.dataset import Dataset
from fuserec.errors import OptionError
from fuserec.ratings.predictor import RatingPredictor, Values, biases
from fuserec.recommenders.recommender import Rows


@dataclass(kw_only=True, eq=False)
class Biases(RatingPredictor):
    """The mean, and what a user and an item add to it, shrunk where ratings are few (Koren 2009)."""

    l2_items: float = 4.0  # as if an item had so many more ratings, all equal to what is expected of it
    l2_users: float = 8.0

    def learn(self, dataset: Dataset) -> None:
        """Set the biases with this model's own options."""
        if min(self.l2_items, self.l2_users) < 0.0:
            raise OptionError(f"Biases: l2 is {self.l2_items} and {self.l2_users}; expected 0 or more")
        self.user_bias_, self.item_bias_ = biases(dataset, self.l2_items, self.l2_users)

    def estimate(self, users: Rows, items: Rows) -> Values:
        """User and item rows (n,) → mean + bias of the user + bias of the item, float32 (n,)."""
        return (self.mean_ + self.user_bias_[users] + self.item_bias_[items]).astype("float32")
