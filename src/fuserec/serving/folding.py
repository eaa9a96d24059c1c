"""A model and the items of one history → that model for that history; nothing is trained."""

from collections.abc import Sequence
from copy import copy

import numpy as np
from scipy.sparse import csr_matrix

from fuserec.data.ids import Ids
from fuserec.errors import OptionError
from fuserec.recommenders.ensemble import Combination
from fuserec.recommenders.recommender import HistoryRecommender, Recommender, Rows

SESSION = "session"


def folds_events(model: Recommender) -> bool:
    """Whether scores follow from the history alone, so that new events change the next recommendation."""
    if isinstance(model, Combination):
        return all(map(folds_events, model.models_))
    return isinstance(model, HistoryRecommender)


def takes_items(model: Recommender) -> bool:
    """Whether new items can be scored without training."""
    if isinstance(model, Combination):
        return all(map(takes_items, model.models_))
    return type(model).extend is not Recommender.extend


def for_history(model: Recommender, items: Rows | Sequence[int]) -> Recommender:
    """Item rows (m,), the oldest first → a copy of the model whose only user, row 0, did something with those.

    Raises `OptionError` for a model that knows users by training.
    """
    if not folds_events(model):
        raise OptionError(
            f"{type(model).__name__} knows users by training, so it has nothing for a session; "
            "models whose scores follow from the history, such as ContentWalk or EASE, have"
        )
    rows = np.unique(np.asarray(items, np.int64))
    view = copy(model)
    view.users_ = Ids([SESSION], "user")
    ones = np.ones(len(rows), np.float32)
    view.seen_ = csr_matrix((ones, rows, np.array([0, len(rows)])), shape=(1, model.catalog_.n_items))
    return view
