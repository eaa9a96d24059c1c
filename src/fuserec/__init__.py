"""fuserec: the multimodal recommender that people can trust and ship."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fuserec.alignment.aligner import align
    from fuserec.alignment.filling import fill
    from fuserec.alignment.similarity import match
    from fuserec.artifact import load_model, save_model
    from fuserec.data.catalog import Catalog, Column
    from fuserec.data.dataset import Dataset, SetAside, Split
    from fuserec.data.embeddings import Embeddings
    from fuserec.data.ids import Ids
    from fuserec.data.interactions import Interactions
    from fuserec.data.media import Limits
    from fuserec.data.recommendations import Recommendations
    from fuserec.encoders.cache import VectorCache
    from fuserec.encoders.encoder import Encoder, encode
    from fuserec.errors import FuserecError
    from fuserec.evaluation import evaluate
    from fuserec.fusion.fuser import fuse
    from fuserec.modalities import modality_report
    from fuserec.preparation.clean import clean
    from fuserec.preparation.normalize import normalize
    from fuserec.preparation.split import split_by_time, split_cold_items, split_given, split_last, split_random
    from fuserec.query import search
    from fuserec.recipe import Recipe
    from fuserec.recommenders.recommender import Recommender
    from fuserec.recommenders.rerank import rerank
    from fuserec.registry import make
    from fuserec.report import Report
    from fuserec.sources.folder import read
    from fuserec.sources.mmrec import read_mmrec
    from fuserec.sources.movielens import read_movielens
    from fuserec.sources.toy import toy_shop
    from fuserec.sources.write import write

# Public name → module. Imported at first use, so that `fuserec --help` answers at once.
_HOMES = {
    "Catalog": "data.catalog",
    "Column": "data.catalog",
    "Dataset": "data.dataset",
    "Embeddings": "data.embeddings",
    "Encoder": "encoders.encoder",
    "FuserecError": "errors",
    "Ids": "data.ids",
    "Interactions": "data.interactions",
    "Limits": "data.media",
    "Recipe": "recipe",
    "Recommendations": "data.recommendations",
    "Recommender": "recommenders.recommender",
    "Report": "report",
    "SetAside": "data.dataset",
    "Split": "data.dataset",
    "VectorCache": "encoders.cache",
    "align": "alignment.aligner",
    "clean": "preparation.clean",
    "encode": "encoders.encoder",
    "evaluate": "evaluation",
    "fill": "alignment.filling",
    "fuse": "fusion.fuser",
    "load_model": "artifact",
    "make": "registry",
    "match": "alignment.similarity",
    "modality_report": "modalities",
    "normalize": "preparation.normalize",
    "read": "sources.folder",
    "read_mmrec": "sources.mmrec",
    "read_movielens": "sources.movielens",
    "rerank": "recommenders.rerank",
    "save_model": "artifact",
    "search": "query",
    "split_by_time": "preparation.split",
    "split_cold_items": "preparation.split",
    "split_given": "preparation.split",
    "split_last": "preparation.split",
    "split_random": "preparation.split",
    "toy_shop": "sources.toy",
    "write": "sources.write",
}

__all__ = [
    "Catalog",
    "Column",
    "Dataset",
    "Embeddings",
    "Encoder",
    "FuserecError",
    "Ids",
    "Interactions",
    "Limits",
    "Recipe",
    "Recommendations",
    "Recommender",
    "Report",
    "SetAside",
    "Split",
    "VectorCache",
    "align",
    "clean",
    "encode",
    "evaluate",
    "fill",
    "fuse",
    "load_model",
    "make",
    "match",
    "modality_report",
    "normalize",
    "read",
    "read_mmrec",
    "read_movielens",
    "rerank",
    "save_model",
    "search",
    "split_by_time",
    "split_cold_items",
    "split_given",
    "split_last",
    "split_random",
    "toy_shop",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fuserec' has no attribute {name!r}")
    return getattr(import_module(f"fuserec.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
