"""Views: several random variants of each item's media, encoded, to train what must not mind noise and rotation."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserec.augmentation.augmentation import Augmentation
from fuserec.data.catalog import Catalog
from fuserec.data.dataset import Dataset
from fuserec.data.media import Limits
from fuserec.encoders.encoder import Encoder
from fuserec.errors import DataError, MediaError, OptionError, did_you_mean


def encode_views(
    dataset: Dataset,
    column: str,
    encoder: Encoder,
    augmentation: Augmentation,
    *,
    n_views: int = 4,
    seed: int = 0,
    rows: Sequence[int] | NDArray[np.int64] | None = None,
    limits: Limits | None = None,
    workers: int | None = None,
) -> NDArray[np.float32]:
    """A column and an encoder, fitted → vectors of `n_views` variants of each item, float32 (n_views, n_items, dim).

    rows: only these items (default: all). Other rows, and those of items without a value or whose file cannot be
    decoded, are zero in all views; `dataset.embeddings[column].present` of the encoded dataset tells which.
    Chance of a variant follows from (seed, view, row), whatever the number of threads (`workers`; default: cores).
    Each file is decoded once. Raises `OptionError` where column, encoder and augmentation do not belong together,
    `DataError` where nothing can be encoded.
    """
    known = dataset.catalog.columns
    if column not in known:
        raise OptionError(f"no column {column!r}{did_you_mean(column, known)} There are: {', '.join(known)}.")
    found = {
        f"column {column!r}": known[column].modality,
        type(encoder).__name__: encoder.modality,
        type(augmentation).__name__: augmentation.modality,
    }
    if len(set(found.values())) > 1 or n_views < 1:
        told = ", ".join(f"{name} is for {modality}" for name, modality in found.items())
        raise OptionError(f"encode_views: {told}, n_views = {n_views}; expected one modality and 1 view or more")
    present = known[column].present
    chosen = [row for row in (range(dataset.n_items) if rows is None else rows) if present[row]]
    batches = [chosen[start : start + encoder.batch_size] for start in range(0, len(chosen), encoder.batch_size)]

    def views_of(batch: list[int]) -> tuple[list[int], list[NDArray[np.float32]]]:
        values = _decoded(dataset.catalog, column, encoder, batch, limits or Limits())
        variants = [
            [augmentation(value, np.random.default_rng([seed, view, row])) for row, value in values.items()]
            for view in range(n_views)
        ]
        return list(values), [encoder.encode_batch(view) for view in variants if view]

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        made = [(batch, views) for batch, views in pool.map(views_of, batches) if views]
    if not made:
        raise DataError(f"column {column!r}: none of the {len(chosen)} values asked for can be encoded")
    result = np.zeros((n_views, dataset.n_items, made[0][1][0].shape[1]), dtype=np.float32)
    for batch, views in made:
        result[:, batch] = views
    return result


def _decoded(catalog: Catalog, column: str, encoder: Encoder, rows: list[int], limits: Limits) -> dict[int, Any]:
    """Rows of items with a value → row → what the encoder takes, without the files that cannot be decoded."""
    if encoder.modality == "text":
        return {row: catalog.columns[column].values[row] for row in rows}
    decoded: dict[int, Any] = {}
    for row in rows:
        path = catalog.path(column, row)
        assert path is not None  # only rows with a value are asked
        try:
            decoded[row] = encoder.decode(path, limits)
        except MediaError:  # `encode` has set the item aside, with the reason
            continue
    return decoded
