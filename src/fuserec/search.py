"""Search: a text, a picture or a sound → the items that fit it, whatever modality they speak in."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserec.data.catalog import MODALITIES, Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import SHARED, Embeddings, unit
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.data.recommendations import Recommendations
from fuserec.errors import DataError, OptionError, did_you_mean
from fuserec.recommenders.recommender import Recommender
from fuserec.retrieval import top_k

Scores = NDArray[np.float32]  # (n_items,)


def search(
    model: Recommender, query: Mapping[str, str | Path], k: int = 10, *, by: str | None = None
) -> Recommendations:
    """A fitted model, and a query as modality (`text`, `image`, `audio`, `video`) → text or path → the k best items.

    An item is compared with the query in its columns of the query's modality, by cosine of centered vectors; where it
    has none of them, across modalities in the shared space of `align`. `by` names the one column to look at. The score
    is the mean over the columns compared, each in standard deviations above the mean of the catalog, so that a cosine
    across modalities, which is always small, counts like one within.
    Raises `DataError` for a file that cannot be decoded or a text without a known word, `OptionError` where the model
    has no column that can be compared.
    """
    if k < 1:
        raise OptionError(f"k is {k}; expected 1 or more")
    asked = _encoded(model, query)
    columns = [name for name in model.embeddings_ if name in model.catalog_.columns]
    if by is not None and by not in columns:
        raise OptionError(f"no vectors named {by!r}{did_you_mean(by, columns)} There are: {', '.join(columns)}.")
    within, across = {}, {}
    for name in columns if by is None else [by]:
        if name in asked:
            within[name] = _within(model, name, asked[name])
        elif SHARED + name in model.embeddings_ and any(key.startswith(SHARED) for key in asked):
            across[name] = _across(model, name, asked)
    if not within and not across:
        raise OptionError(
            f"nothing to compare a query of {' and '.join(query)} with{f' in {by}' if by else ''}: this model was "
            "trained without a shared space; train it with --align GCCA"
        )
    compared = {**across, **within}
    parts = np.stack(list(compared.values()))  # (n_columns, n_items), NaN where an item has no such column
    direct = np.isfinite(parts[len(across) :]).any(axis=0)
    parts[: len(across), direct] = np.nan
    n_compared = np.isfinite(parts).sum(axis=0)
    scores = np.where(n_compared > 0, np.nansum(parts, axis=0) / np.maximum(n_compared, 1), -np.inf).astype(np.float32)
    best = top_k(scores[None], k)[0]
    best = best[np.isfinite(scores[best])]
    why = [{name: float(part) for name, part in zip(compared, parts[:, row], strict=True) if part > 0} for row in best]
    asked_for = {modality: str(value) for modality, value in query.items()} | ({} if by is None else {"by": by})
    return model.listed({**asked_for, "k": k}, best, scores[best], why)


def _encoded(model: Recommender, query: Mapping[str, str | Path]) -> Mapping[str, Embeddings]:
    """The query as an item of its own, through the stages that made the model's vectors."""
    if not query:
        raise OptionError("nothing to search for; give a text, a picture or a sound")
    columns = {}
    for modality, value in query.items():
        if modality not in MODALITIES:
            raise OptionError(f"cannot search by {modality!r}; expected one of {', '.join(MODALITIES)}")
        told = str(value) if modality == "text" else Path(value).resolve().relative_to(Path(value).resolve().anchor)
        cell = told if isinstance(told, str) else told.as_posix()
        names = [column.name for column in model.catalog_.columns.values() if column.modality == modality]
        columns |= {name: Column(name, modality, (cell,)) for name in names or [modality]}
    root = Path(Path.cwd().anchor)
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("query", Catalog(Ids(["query"]), columns, root), Ids([], "user"), Interactions(nobody, nobody))
    for stage in model.stages_:
        dataset = stage(dataset)
    for entry in dataset.set_aside:
        raise DataError(f"{entry.found}: {entry.reason}")
    known = {name: e for name, e in dataset.embeddings.items() if e.present[0] and e.vectors[0].any()}
    if not known:
        raise DataError(
            f"the query of {' and '.join(query)} has no vector: no column of this model was encoded from that, "
            "or it holds nothing that the encoder knows"
        )
    return known


def _within(model: Recommender, name: str, asked: Embeddings) -> Scores:
    items, warm = model.embeddings_[name], model.popularity_ > 0
    query = unit(asked.vectors - items.center(warm))[0]
    return _standard(items.centered_unit(warm) @ query, items.present)


def _across(model: Recommender, name: str, asked: Mapping[str, Embeddings]) -> Scores:
    items = model.embeddings_[SHARED + name]
    query = np.mean([vectors.vectors[0] for key, vectors in asked.items() if key.startswith(SHARED)], axis=0)
    return _standard(items.vectors @ query, items.present)


def _standard(cosine: Scores, present: NDArray[np.bool_]) -> Scores:
    """Cosines → standard deviations above their mean over the items present; NaN for the others."""
    here = cosine[present]
    scale = float(here.std()) or 1.0
    standard: Scores = np.where(present, (cosine - here.mean()) / scale, np.nan).astype(np.float32)
    return standard
