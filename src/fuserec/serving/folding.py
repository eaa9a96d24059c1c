"""What a model can do with what happens while it serves; nothing is trained."""

from fuserec.recommenders.ensemble import Combination
from fuserec.recommenders.recommender import HistoryRecommender, Recommender
from fuserec.recommenders.sequential import SequentialRecommender


def folds_events(model: Recommender) -> bool:
    """Whether scores follow from the history alone, so that new events change the next recommendation.

    Models of trained users (BPR, LightGCN) are not among these: they can answer for a session, by the mean of the
    vectors of its items, but a known user's trained vector is better than that.
    """
    if isinstance(model, Combination):
        return all(map(folds_events, model.models_))
    return isinstance(model, (HistoryRecommender, SequentialRecommender))


def takes_items(model: Recommender) -> bool:
    """Whether new items can be scored without training."""
    if isinstance(model, Combination):
        return all(map(takes_items, model.models_))
    return type(model).extend is not Recommender.extend
