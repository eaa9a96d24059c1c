"""Clean: a dataset → the same without what would harm it, and a record of every thing left out."""

import hashlib
import html
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fuserec.data.catalog import MEDIA, Catalog, Column
from fuserec.data.dataset import Dataset, SetAside
from fuserec.data.ids import Ids
from fuserec.data.media import Limits, check_media
from fuserec.errors import DataError, MediaError


def clean(
    dataset: Dataset,
    *,
    core: int = 0,
    merge_duplicates: bool = True,
    min_rating: float | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Dataset:
    """Dataset → a clean one; what it left out, and why, is in its `set_aside`.

    1. Texts get one normal form: Unicode NFKC, HTML entities resolved, control characters out, single spaces.
    2. Media files that are missing, empty, too large or not what their name says become missing values.
    3. Items that are equal in every column (files byte by byte) become one, the first; its users are theirs together.
    4. With `min_rating`, interactions rated below it leave, as if they had not happened. Without, every interaction
       counts as interest, one star too.
    5. Of several interactions of a user with an item, the first in time stays: repeating it is nothing to predict.
    6. With `core` = k > 0, users and items with fewer than k interactions leave, again and again, until none is left
       (the k-core of Seidman 1983).

    Raises `DataError` when nothing is left, or when there are no ratings to compare with `min_rating`.
    """
    dataset = _normal_texts(dataset)
    dataset = _without_broken_media(dataset, limits or Limits(), on_progress or (lambda column, done, total: None))
    if merge_duplicates:
        dataset = _without_duplicate_items(dataset)
    if min_rating is not None:
        dataset = _rated(dataset, min_rating)
    dataset = _without_repeated_interactions(dataset)
    return _k_core(dataset, core) if core > 0 else dataset


def normal_text(text: str) -> str | None:
    """A text → its normal form, or None when nothing is left."""
    text = unicodedata.normalize("NFKC", html.unescape(text))
    kept = (" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)
    return " ".join("".join(kept).split()) or None


def _normal_texts(dataset: Dataset) -> Dataset:
    catalog = dataset.catalog
    for column in dataset.catalog.columns.values():
        if column.modality == "text":
            values = tuple(value and normal_text(value) for value in column.values)
            catalog = catalog.with_column(replace(column, values=values))
    return replace(dataset, catalog=catalog)


def _without_broken_media(dataset: Dataset, limits: Limits, on_progress: Callable[[str, int, int], None]) -> Dataset:
    catalog, gone = dataset.catalog, []
    for column in dataset.catalog.columns.values():
        if column.modality not in MEDIA:
            continue
        rows = np.flatnonzero(column.present).tolist()
        broken = {}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            reasons = pool.map(partial(_why_broken, dataset.catalog, column, limits), rows)
            for done, (row, reason) in enumerate(zip(rows, reasons, strict=True), start=1):
                on_progress(column.name, done, len(rows))
                if reason is not None:
                    broken[row] = reason
        for row, reason in broken.items():
            where = f"item {catalog.ids[row]}, column {column.name}"
            gone.append(SetAside("clean", column.modality, where, reason, column.values[row] or ""))
        catalog = catalog.with_column(column.without(list(broken)))
    return replace(dataset, catalog=catalog).with_set_aside(gone)


def _why_broken(catalog: Catalog, column: Column, limits: Limits, row: int) -> str | None:
    path = catalog.path(column.name, row)
    assert path is not None  # only rows with a value are asked
    try:
        check_media(path, column.modality, limits)
    except MediaError as error:
        return str(error)
    return None


def _without_duplicate_items(dataset: Dataset) -> Dataset:
    catalog, n_items = dataset.catalog, dataset.n_items
    # Items that share all their texts are candidates; only their files are read. Given vectors are not compared,
    # and an item known only by its id is nobody's duplicate.
    texts = [
        tuple(column.values[row] for column in catalog.columns.values() if column.modality == "text")
        for row in range(n_items)
    ]
    n_same = Counter(texts)
    has_vector = np.any(
        [embeddings.present for embeddings in dataset.embeddings.values()] or [np.zeros(n_items, bool)], axis=0
    )
    has_value = np.any([column.present for column in catalog.columns.values()] or [np.zeros(n_items, bool)], axis=0)
    first_of: dict[Hashable, int] = {}
    stands_for = np.arange(n_items)
    for row in np.flatnonzero(has_value & ~has_vector):
        if n_same[texts[row]] > 1:
            stands_for[row] = first_of.setdefault(_content(catalog, int(row)), int(row))
    kept = np.flatnonzero(stands_for == np.arange(n_items))
    gone = [
        SetAside(
            "clean", "item", f"item {catalog.ids[row]}", "equal to an earlier item", catalog.ids[int(stands_for[row])]
        )
        for row in np.flatnonzero(stands_for != np.arange(n_items))
    ]
    if not gone:
        return dataset
    items = stands_for[dataset.interactions.items]
    merged = replace(dataset, interactions=replace(dataset.interactions, items=items))
    return _keep(merged, np.ones(dataset.n_users, bool), np.isin(np.arange(n_items), kept)).with_set_aside(gone)


def _content(catalog: Catalog, row: int) -> Hashable:
    """Everything an item shows: its texts, and a hash of each of its files."""
    content: list[Hashable] = []
    for column in catalog.columns.values():
        path = catalog.path(column.name, row) if column.modality in MEDIA else None
        content.append(column.values[row] if path is None else hashlib.sha256(path.read_bytes()).digest())
    return tuple(content)


def _rated(dataset: Dataset, least: float) -> Dataset:
    ratings = dataset.interactions.ratings
    if ratings is None:
        raise DataError(f"{dataset.name} has no ratings, so min_rating = {least:g} has no meaning; leave it out")
    low = ratings < least
    if len(low) and low.all():
        raise DataError(
            f"no interaction of {dataset.name} is rated {least:g} or more; the best is {ratings.max():g}; "
            "use a smaller min_rating"
        )
    kept = replace(dataset, interactions=dataset.interactions.take(~low))
    return kept.with_set_aside(_gone(dataset, np.flatnonzero(low), f"rated below {least:g}"))


def _gone(dataset: Dataset, rows: NDArray[np.int64], reason: str) -> list[SetAside]:
    users, items = dataset.interactions.users[rows], dataset.interactions.items[rows]
    return [
        SetAside("clean", "interaction", f"user {dataset.users[user]}, item {dataset.catalog.ids[item]}", reason)
        for user, item in zip(users, items, strict=True)
    ]


def _without_repeated_interactions(dataset: Dataset) -> Dataset:
    interactions = dataset.interactions
    times = np.zeros(len(interactions), np.int64) if interactions.times is None else interactions.times
    order = np.lexsort((np.arange(len(interactions)), times))
    pair = interactions.users * dataset.n_items + interactions.items
    _, first = np.unique(pair[order], return_index=True)
    kept = np.sort(order[first])
    repeated = np.setdiff1d(np.arange(len(interactions)), kept)
    return replace(dataset, interactions=interactions.take(kept)).with_set_aside(_gone(dataset, repeated, "repeated"))


def _k_core(dataset: Dataset, core: int) -> Dataset:
    users, items = dataset.interactions.users, dataset.interactions.items
    alive = np.ones(len(users), bool)
    while True:
        few_users = np.bincount(users[alive], minlength=dataset.n_users) < core
        few_items = np.bincount(items[alive], minlength=dataset.n_items) < core
        still = alive & ~few_users[users] & ~few_items[items]
        if still.sum() == alive.sum():
            break
        alive = still
    if not alive.any():
        raise DataError(
            f"no user and item of {dataset.name} have {core} interactions each; use a smaller core than {core}"
        )
    reason = f"fewer than {core} interactions"
    gone = [SetAside("clean", "user", f"user {dataset.users[row]}", reason) for row in np.flatnonzero(few_users)]
    gone += [SetAside("clean", "item", f"item {dataset.catalog.ids[row]}", reason) for row in np.flatnonzero(few_items)]
    return _keep(dataset, ~few_users, ~few_items).with_set_aside(gone)


def _keep(dataset: Dataset, users: NDArray[np.bool_], items: NDArray[np.bool_]) -> Dataset:
    """The dataset of these users and items only, bool (n_users,) and (n_items,), with the interactions among them."""
    interactions = dataset.interactions
    interactions = interactions.take(users[interactions.users] & items[interactions.items])
    new_user, new_item = np.cumsum(users) - 1, np.cumsum(items) - 1
    rows = np.flatnonzero(items)
    return replace(
        dataset,
        catalog=dataset.catalog.take(rows),
        users=Ids((dataset.users[row] for row in np.flatnonzero(users)), dataset.users.noun),
        interactions=replace(interactions, users=new_user[interactions.users], items=new_item[interactions.items]),
        embeddings={
            name: replace(
                embeddings,
                vectors=embeddings.vectors[rows],
                present=embeddings.present[rows],
                parts={part: present[rows] for part, present in embeddings.parts.items()},
                filled=embeddings.filled[rows],
            )
            for name, embeddings in dataset.embeddings.items()
        },
    )
