"""Models inside a model: what all models keep, such as the catalog, is kept once, by the outer one."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from fuserec.errors import OptionError
from fuserec.recommenders.recommender import Recommender

EVERYWHERE = ("catalog_", "users_", "seen_", "popularity_", "embeddings_", "stages_")  # what all models share


def name_and_options(model: str | Mapping[str, Any], owner: str) -> tuple[str, dict[str, Any]]:
    """A model as options tell it, a name or `{name, options ...}` → its name and its options; `owner` has it inside."""
    options = {"name": model} if isinstance(model, str) else dict(model)
    if "name" not in options:
        raise OptionError(f"{owner}: the model {options} has no name; write {{name = ..., option = ...}}")
    return options.pop("name"), options


def inside(model: Recommender) -> Recommender:
    """A fitted model → a copy without what all models share."""
    model = copy(model)
    for name in EVERYWHERE:
        delattr(model, name)
    return model


def whole(model: Recommender, owner: Recommender) -> Recommender:
    """A model that is inside another one → a copy with what all models share."""
    model = copy(model)
    vars(model).update({name: getattr(owner, name) for name in EVERYWHERE})
    return model
