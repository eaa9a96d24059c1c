"""What `fuserec match` does and shows."""

from collections.abc import Callable, Mapping

import numpy as np

from fuserec.alignment.aligner import Aligner, shared_items
from fuserec.alignment.clusters import Clusters, agreement_between, cluster
from fuserec.alignment.similarity import Matching, match
from fuserec.cli import console
from fuserec.data.dataset import Dataset
from fuserec.encoders.text import words

Matched = tuple[Matching, dict[str, Clusters], dict[tuple[str, str], float]]
LEAST_ITEMS = 10  # with a vector, to be grouped


def matched(dataset: Dataset, aligner: Aligner | None, method: str, tell: Callable[[str, int, int], None]) -> Matched:
    """A dataset with vectors → its matching, the clusters of each column and of the shared space, their overlap."""
    tell("comparing columns", 0, 2)
    matching = match(dataset, aligner=aligner)
    tell("grouping items", 1, 2)
    dataset = shared_items(dataset)
    names = [] if method == "none" else [*dataset.column_vectors, "shared"]
    enough = [
        name for name in names if name in dataset.embeddings and dataset.embeddings[name].present.sum() >= LEAST_ITEMS
    ]
    groups = {name: cluster(dataset, name, method=method, words=_telling) for name in enough}
    return matching, groups, agreement_between(groups)


def _telling(text: str) -> list[str]:
    """A text → its words that say something, for the names of clusters."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word for word in words(text) if word not in ENGLISH_STOP_WORDS]


def print_matching(
    dataset: Dataset,
    matching: Matching,
    clusters: Mapping[str, Clusters],
    overlap: Mapping[tuple[str, str], float],
    as_json: bool,
) -> None:
    """The columns' match, the items that disagree most, and the clusters, or the JSON."""
    if as_json:
        named = {
            name: {"names": list(found.names), "labels": found.labels.tolist()} for name, found in clusters.items()
        }
        agreeing = [{"columns": list(pair), "adjusted_mutual_information": value} for pair, value in overlap.items()]
        console.print_json({**matching.to_dict(), "clusters": named, "cluster_agreement": agreeing})
        return

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    rows = [
        [" – ".join(pair["columns"]), *(number(pair[key], 3) for key in ("recall@1", "recall@10", "chance@10"))]
        + [number(pair["median_rank"], 1), f"{pair['n']:,}", f"{pair['cosine']['mean']:.3f}"]
        for pair in matching.pairs
    ]
    console.print_table(["columns", "recall@1", "recall@10", "chance@10", "median rank", "n", "cosine"], rows)
    lowest = []
    for row in np.argsort(matching.agreement, kind="stable")[:10].tolist():
        if not np.isnan(matching.agreement[row]):
            (one, other), least = matching.least(row)
            told = [f"{matching.agreement[row]:.2f}", f"{one} – {other}", f"{least:.2f}"]
            lowest.append([dataset.catalog.ids[row], dataset.catalog.title(row), *told])
    console.say("Items whose columns disagree, the worst first (0.5: no worse than columns that tell nothing):")
    console.print_table(["item", "title", "agreement", "least between", "agreement there"], lowest)
    for name, found in clusters.items():
        console.say(f"{name}: {len(found)} clusters: {'; '.join(found.names[:8])}{'; ...' if len(found) > 8 else ''}")
    if overlap:
        console.say("Adjusted mutual information of clusters:")
        console.print_table(
            ["columns", "agreement"], [[" – ".join(pair), f"{value:.3f}"] for pair, value in overlap.items()]
        )
