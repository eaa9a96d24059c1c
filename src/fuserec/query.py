"""Query: a text, a picture or a sound → the items that fit it, whatever modality they speak in."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserec.data.catalog import MODALITIES, Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import SHARED, Embeddings, check_vectors, unit
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.data.recommendations import Recommendations
from fuserec.encoders.encoder import Encoded, Encoder
from fuserec.errors import DataError, OptionError
from fuserec.recommenders.recommender import Recommender, shares
from fuserec.retrieval import top_k

Scores = NDArray[np.float32]  # (n_items,)


def search(
    model: Recommender, query: Mapping[str, str | Path], k: int = 10, *, by: str | None = None
) -> Recommendations:
    """A fitted model, and a query as modality (`text`, `image`, `audio`, `video`) → text or path → the k best items.

    An item is compared with the query in its columns of the query's modality, by cosine of centered vectors; where it
    has none of them, across modalities: directly where two encoders share a space, else in the shared space of `align`.
    `by` names the one column to look at. The score is the mean over the columns compared, each in standard deviations
    above the mean of the catalog, so that a cosine across modalities, which is always small, counts like one within.
    Raises `DataError` for a file that cannot be decoded or a text without a known word, `OptionError` where the model
    has no column that can be compared.
    """
    if k < 1:
        raise OptionError(f"k is {k}; expected 1 or more")
    asked = _encoded(model, query)
    columns = [name for name in model.embeddings_ if name in model.catalog_.columns]
    chosen = columns if by is None else [by]
    check_vectors(chosen, columns)
    within = {name: _cosine(model, name, asked[name], name) for name in chosen if name in asked}
    across = {
        name: cosine for name in chosen if name not in asked if (cosine := _across(model, name, asked)) is not None
    }
    if not within and not across:
        raise OptionError(
            f"nothing to compare a query of {' and '.join(query)} with{f' in {by}' if by else ''}: this model was "
            "trained without a shared space; train it with --align GCCA"
        )
    compared = {**across, **within}
    parts = np.stack([_standard(cosine, model.embeddings_[name].present) for name, cosine in compared.items()])
    parts[: len(across), np.isfinite(parts[len(across) :]).any(axis=0)] = np.nan  # (n_columns, n_items)
    n_compared = np.isfinite(parts).sum(axis=0)
    scores = np.where(n_compared > 0, np.nansum(parts, axis=0) / np.maximum(n_compared, 1), -np.inf).astype(np.float32)
    best = top_k(scores[None], k)[0]
    best = best[np.isfinite(scores[best])]
    why = [shares(list(compared), np.maximum(np.nan_to_num(parts[:, row]), 0.0)) for row in best]
    told = {modality: str(value) for modality, value in query.items()} | ({} if by is None else {"by": by})
    return model.listed({**told, "k": k}, best, scores[best], why)


def _encoded(model: Recommender, query: Mapping[str, str | Path]) -> Mapping[str, Embeddings]:
    """The query as an item of its own, through the stages that made the model's vectors."""
    if not query:
        raise OptionError("nothing to search for; give a text, a picture or a sound")
    columns: dict[str, Column] = {}
    root = Path.cwd()
    for modality, value in query.items():
        if modality not in MODALITIES:
            raise OptionError(f"cannot search by {modality!r}; expected one of {', '.join(MODALITIES)}")
        cell = str(value)
        if modality != "text":  # a catalog's paths are relative to a root
            path = Path(value).resolve()
            root, cell = Path(path.anchor), path.relative_to(path.anchor).as_posix()
        names = [column.name for column in model.catalog_.columns.values() if column.modality == modality]
        columns |= {name: Column(name, modality, (cell,)) for name in names}
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("query", Catalog(Ids(["query"]), columns, root), Ids([], "user"), Interactions(nobody, nobody))
    for stage in model.stages_:
        dataset = stage(dataset)
        if isinstance(stage, Encoded):  # a text without any known word has a vector of zeros
            dataset = replace(
                dataset, embeddings={name: e for name, e in dataset.embeddings.items() if e.vectors.any()}
            )
    for entry in dataset.set_aside:
        raise DataError(f"the {entry.what} to search by cannot be used: {entry.reason} ({query[entry.what]})")
    if not dataset.embeddings:
        raise DataError(
            f"the query of {' and '.join(query)} has no vector: this model has no encoded column of that modality, "
            "or its encoder knows nothing in it"
        )
    return {name: e for name, e in dataset.embeddings.items() if e.own.any()}


def _cosine(model: Recommender, name: str, asked: Embeddings, asked_by: str) -> Scores:
    """The items' vectors `name` and the query's vector from the column `asked_by`, each less its column's mean."""
    warm = model.popularity_ > 0
    query = unit(asked.vectors - model.embeddings_[asked_by].center(warm))[0]
    return model.embeddings_[name].cosines_to(query, warm)


def _across(model: Recommender, name: str, asked: Mapping[str, Embeddings]) -> Scores | None:
    """As `_cosine`, for items' vectors of another modality: None where there is no space for both."""
    encoders: Mapping[str, Encoder] = {}
    for stage in model.stages_:
        encoders = {**encoders, **stage.encoders_} if isinstance(stage, Encoded) else encoders
    space = encoders[name].space() if name in encoders else ""
    same = [other for other in asked if space and other in encoders and encoders[other].space() == space]
    if same:
        return np.asarray(np.mean([_cosine(model, name, asked[other], other) for other in same], axis=0))
    shared = [asked[other].vectors[0] for other in asked if other.startswith(SHARED)]
    if not shared or SHARED + name not in model.embeddings_:
        return None
    return np.asarray(model.embeddings_[SHARED + name].vectors @ np.mean(shared, axis=0))


def _standard(cosine: Scores, present: NDArray[np.bool_]) -> Scores:
    """Cosines → standard deviations above their mean over the items present; NaN for the others."""
    here = cosine[present]
    scale = float(here.std()) or 1.0
    standard: Scores = np.where(present, (cosine - here.mean()) / scale, np.nan).astype(np.float32)
    return standard
