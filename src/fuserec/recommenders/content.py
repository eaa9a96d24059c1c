"""Models that see only what items are: they reach an item that nobody has chosen yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings, check_vectors
from fuserec.errors import DataError, did_you_mean
from fuserec.recommenders.neighbors import ItemWeights, Weights
from fuserec.retrieval import grown_graph, symmetric_graph


def vectors_named(dataset: Dataset, name: str, model: str) -> Embeddings:
    """Dataset and a name → those vectors; raises `DataError` that says how to make them."""
    if name not in dataset.embeddings:
        known = ", ".join(dataset.embeddings) or "none"
        raise DataError(
            f"{model} needs vectors named {name!r}{did_you_mean(name, dataset.embeddings)} There are: {known}. "
            "Encode and fuse the dataset first"
        )
    return dataset.embeddings[name]


def columns_named(dataset: Dataset, names: Sequence[str], model: str) -> list[str]:
    """Dataset and names → those vectors; without names, those of all single columns, sorted.

    Raises `OptionError` for a name that there is not, `DataError` where there are no vectors at all.
    """
    check_vectors(names, dataset.embeddings, model)
    chosen = list(names) or sorted(dataset.column_vectors)
    if not chosen:
        raise DataError(f"{model} needs vectors; encode the dataset first, or use a model of ids, such as BPR")
    return chosen


@dataclass(kw_only=True, eq=False)
class ContentNeighbors(ItemWeights):
    """The items nearest to those of the history, by cosine of centered vectors (Pazzani and Billsus 2007)."""

    by: str = "fused"  # which vectors
    neighbors: int = 50  # of each scored item, among all items

    def weigh(self, dataset: Dataset) -> Weights:
        """The content graph, in both directions, so that a new item is reached from its own neighbours."""
        embeddings = vectors_named(dataset, self.by, "ContentNeighbors")
        return symmetric_graph(embeddings.centered_unit(dataset.warm), self.neighbors, embeddings.present)

    def extend(self) -> None:
        """Edges of the new items."""
        embeddings = self.embeddings_[self.by]
        unit = embeddings.centered_unit(self.popularity_ > 0)
        self.weights_ = grown_graph(self.weights_, unit, self.neighbors, embeddings.present)
