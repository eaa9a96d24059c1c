"""A model as it serves: with the items added online, without those removed; replaced as a whole, never changed."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec import __version__
from fuserec.artifact import load_model, read_manifest
from fuserec.data.catalog import Catalog, Column
from fuserec.data.embeddings import SHARED, Embeddings
from fuserec.data.ids import Ids
from fuserec.encoders.encoder import Encoded
from fuserec.errors import ArtifactError, DataError, FuserecError, OptionError, did_you_mean
from fuserec.recommenders.recommender import Recommender
from fuserec.recommenders.rerank import rerank
from fuserec.serving.folding import folds_events, takes_items
from fuserec.serving.stores.store import StoredItem


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model that serves.

    base: the model as it was trained
    model: the same with the items that were added
    manifest: of the artifact folder
    allowed: bool (n_items,), which items may be recommended
    skipped: ids of stored items that this model could not take → why
    since: when it was loaded, unix seconds UTC
    reranked: diversity → the model whose lists are made anew, made when first asked for
    """

    base: Recommender
    model: Recommender
    manifest: Mapping[str, Any]
    allowed: NDArray[np.bool_]
    skipped: Mapping[str, str]
    since: float = field(default_factory=time.time)
    reranked: dict[float, Recommender] = field(default_factory=dict)

    @property
    def folds_events(self) -> bool:
        """Whether new events change the next recommendation."""
        return folds_events(self.model)

    @property
    def takes_items(self) -> bool:
        """Whether new items can be added without training."""
        return takes_items(self.model)

    @cached_property
    def reaches(self) -> bool:
        """Whether the model finds the best items without looking at all of them: in a millisecond, not in many."""
        return self.model.reach(0 if len(self.model.users_) else -1, np.zeros(0, np.int64), 1) is not None

    def is_quick(self, explain: bool, diversity: float | None) -> bool:
        """Whether such a list takes a millisecond or two, and not more."""
        return self.reaches and not explain and diversity is None

    @cached_property
    def fingerprint(self) -> str:
        """Of all that lists follow from but histories: the model, the items added since, and which may be shown."""
        n_base, catalog = self.base.catalog_.n_items, self.model.catalog_
        columns = {name: column.values[n_base:] for name, column in catalog.columns.items()}
        told = [__version__, self.manifest, catalog.ids[n_base:], columns]
        found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for name in given_vectors(self.model):
            found.update(self.model.embeddings_[name].vectors[n_base:].tobytes())
        found.update(self.allowed.tobytes())
        return found.hexdigest()

    def diverse(self, diversity: float | None) -> Recommender:
        """The model, with lists whose items are less alike where that is asked for."""
        if diversity is None:
            return self.model
        rounded = min(round(diversity, 2), 0.99)  # below 1, and so that at most a hundred are kept
        if rounded not in self.reranked:
            self.reranked[rounded] = rerank(self.model, diversity=rounded)
        return self.reranked[rounded]


def load(folder: Path, items: Sequence[StoredItem], media: Path) -> Loaded:
    """An artifact folder, what the store knows of items, and their media → the model, ready to serve.

    Raises `ArtifactError` where the folder does not hold a model that gives a list.
    """
    try:
        manifest, base = read_manifest(folder), load_model(folder)
        loaded = with_items(base, manifest, items, media)
        if len(base.users_):
            loaded.model.rank(np.zeros(1, np.int64), 1)
            loaded.model.reach(0, np.zeros(0, np.int64), 1)  # where there is an index, it is made now
    except FuserecError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ArtifactError(f"{folder} cannot be served ({type(error).__name__}: {error}); train it again") from error
    return loaded


def with_items(base: Recommender, manifest: Mapping[str, Any], items: Sequence[StoredItem], media: Path) -> Loaded:
    """A trained model and all that the store knows of items → the model that serves.

    An item that it cannot take (its columns are others, a file is gone) is left out and told in `skipped`.
    """
    wanted = [item for item in items if not item.removed and item.item_id not in base.catalog_.ids]
    removed = [item.item_id for item in items if item.removed]
    model, skipped = base, {}
    try:
        model = followed_by(base, wanted, media)
    except FuserecError:  # one of them: which?
        for item in wanted:
            try:
                model = followed_by(model, [item], media)
            except FuserecError as error:
                skipped[item.item_id] = str(error)
    allowed = np.ones(model.catalog_.n_items, bool)
    allowed[[row for row in model.catalog_.ids.rows(removed) if row >= 0]] = False
    return Loaded(base, model, manifest, allowed, skipped)


def followed_by(model: Recommender, items: Sequence[StoredItem], media: Path) -> Recommender:
    """A model and items → a copy that scores them too. Raises as `Recommender.with_items`."""
    if not items:
        return model
    for item in items:
        check_item(model, item)
    columns = {}
    for column in model.catalog_.columns.values():
        values = tuple(item.columns.get(column.name) for item in items)
        if any(values):
            columns[column.name] = Column(column.name, column.modality, values)
    catalog = Catalog(Ids(item.item_id for item in items), columns, media)
    vectors = {name: _vectors(model, name, items) for name in given_vectors(model)}
    try:
        return model.with_items(catalog, {name: made for name, made in vectors.items() if made is not None})
    except FuserecError:
        raise
    except ValueError as error:  # vectors of another length
        raise DataError(f"the vectors do not fit those of the model ({error})") from error


def check_item(model: Recommender, item: StoredItem) -> None:
    """Raise `OptionError` for a column or vectors that the model does not have, `DataError` for an item with none."""
    for told, known, noun in (
        (item.columns, model.catalog_.columns, "column"),
        (item.vectors, given_vectors(model), "vectors"),
    ):
        for name in told:
            if name not in known:
                raise OptionError(
                    f"item {item.item_id!r}: no {noun} {name!r}{did_you_mean(name, known)} "
                    f"The model has: {', '.join(known) or 'none'}."
                )
    if not any(item.columns.values()) and not item.vectors:
        raise DataError(f"item {item.item_id!r} has no column and no vectors; give it at least one")


def given_vectors(model: Recommender) -> list[str]:
    """The names of vectors that the owner gave in training, and has to give for new items."""
    encoded = {name for stage in model.stages_ if isinstance(stage, Encoded) for name in stage.encoders_}
    made = {name for name, e in model.embeddings_.items() if e.parts or name.startswith(SHARED)}
    return [name for name in model.embeddings_ if name not in encoded | made]


def _vectors(model: Recommender, name: str, items: Sequence[StoredItem]) -> Embeddings | None:
    known = model.embeddings_[name]
    given = [item.vectors.get(name) for item in items]
    lengths = {len(vector) for vector in given if vector is not None}
    if not lengths:
        return None
    if len(lengths) > 1:
        raise DataError(f"vectors {name!r} of {sorted(lengths)} numbers; expected the same for every item")
    nothing = (0.0,) * lengths.pop()
    rows = np.array([vector or nothing for vector in given], np.float32)
    return Embeddings(rows, np.array([vector is not None for vector in given]), known.made_by, known.modality)
