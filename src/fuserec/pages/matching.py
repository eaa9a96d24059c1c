"""The page of a match: how well columns fit each other, items whose media disagree, neighbours and clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuserec.alignment.clusters import Clusters
from fuserec.alignment.similarity import Matching
from fuserec.data.dataset import Dataset
from fuserec.pages.page import Card, card, write_html
from fuserec.retrieval import top_k

N_DISAGREEING, N_SHOWN, N_NEIGHBORS = 12, 6, 5
N_CLUSTERS, N_TYPICAL = 8, 3  # of each column, the largest clusters, and items of each


@dataclass(frozen=True)
class Group:
    """A heading, what it says, and the cards below it."""

    name: str
    note: str
    cards: Sequence[Card]


def write_match_page(
    path: Path,
    dataset: Dataset,
    matching: Matching,
    clusters: Mapping[str, Clusters],
    overlap: Mapping[tuple[str, str], float],
    *,
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Write the page; an earlier page is replaced. Raises `ArtifactError` for any other file that is there.

    clusters: name of vectors → their clusters; overlap: two names → adjusted mutual information of their clusters
    """
    write_html(
        path,
        "match.html",
        dataset=dataset,
        pairs=matching.pairs,
        disagreeing=disagreeing(dataset, matching),
        neighbors=neighbors(dataset),
        clusters=[(name, *_largest(dataset, found)) for name, found in clusters.items()],
        overlap=sorted(overlap.items(), key=lambda pair: -pair[1]),
        made_by=made_by or {},
    )


def disagreeing(dataset: Dataset, matching: Matching, n: int = N_DISAGREEING) -> list[Card]:
    """The items with the lowest agreement, each with the two of its columns that agree least."""
    order = np.argsort(matching.agreement, kind="stable")[:n]  # NaN comes last
    cards = []
    for row in order[np.isfinite(matching.agreement[order])].tolist():
        (one, other), least = matching.least(row)
        note = f"agreement {matching.agreement[row]:.2f}; least between {one} and {other}, {least:.2f}"
        cards.append(card(dataset.catalog, row, note=note))
    return cards


def neighbors(dataset: Dataset, n_shown: int = N_SHOWN) -> list[tuple[Card, list[Group]]]:
    """A few items, spread evenly over those that have most columns → the items nearest to each, column by column."""
    columns = dataset.column_vectors
    n_columns = np.sum([embeddings.present for embeddings in columns.values()], axis=0)
    fullest = np.flatnonzero(n_columns == n_columns.max())
    rows = np.unique(fullest[np.linspace(0, len(fullest) - 1, n_shown).round().astype(int)]).tolist()
    groups: dict[int, list[Group]] = {row: [] for row in rows}
    for name, embeddings in columns.items():
        unit = embeddings.centered_unit(dataset.warm)
        for row in rows:
            if not embeddings.present[row]:
                continue
            cosine = np.where(embeddings.present, unit @ unit[row], -np.inf).astype(np.float32)
            cosine[row] = -np.inf
            nearest = [near for near in top_k(cosine[None], N_NEIGHBORS)[0].tolist() if np.isfinite(cosine[near])]
            cards = [card(dataset.catalog, near, note=f"{cosine[near]:.2f}") for near in nearest]
            groups[row].append(Group(name, _own_text(dataset, name, row), cards))
    return [(card(dataset.catalog, row), groups[row]) for row in rows]


def _own_text(dataset: Dataset, name: str, row: int) -> str:
    column = dataset.catalog.columns.get(name)
    value = (column.values[row] or "") if column is not None and column.modality == "text" else ""
    return value if len(value) <= 200 else value[:199] + "…"


def _largest(dataset: Dataset, clusters: Clusters) -> tuple[int, list[Group]]:
    """Clusters → how many there are, and the largest of them with their typical items."""
    sizes = np.bincount(clusters.labels[clusters.labels >= 0], minlength=len(clusters))
    groups = [
        Group(
            clusters.names[label],
            f"{sizes[label]:,} items",
            [card(dataset.catalog, row) for row in clusters.typical[label][:N_TYPICAL]],
        )
        for label in np.argsort(-sizes, kind="stable")[:N_CLUSTERS].tolist()
    ]
    return len(clusters), groups
