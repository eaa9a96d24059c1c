"""Recipe: the stages and their options, from TOML; every error is collected before anything runs."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from fuserec import registry
from fuserec.alignment.aligner import align
from fuserec.alignment.filling import fill
from fuserec.augmentation.augmentation import Chain
from fuserec.data.dataset import Dataset, Split
from fuserec.data.media import Limits
from fuserec.encoders.cache import VectorCache
from fuserec.encoders.encoder import Encoded, Encoder, default_encoders, encode
from fuserec.encoders.views import encode_views
from fuserec.errors import OptionError, did_you_mean
from fuserec.fusion.fuser import fuse
from fuserec.preparation import split as splits
from fuserec.preparation.clean import clean
from fuserec.preparation.normalize import Normalized, Normalizer, normalize
from fuserec.recommenders.neighbors import EASE
from fuserec.recommenders.recommender import Recommender

OnProgress = Callable[[str, int, int], None]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clean(_Strict):
    """Options of `clean`."""

    core: int = Field(default=0, ge=0)
    merge_duplicates: bool = True
    min_rating: float | None = Field(default=None, allow_inf_nan=False)


class LimitsOptions(_Strict):
    """Options of `Limits`."""

    megabytes: float = Field(default=Limits.megabytes, gt=0)
    pixels: int = Field(default=Limits.pixels, gt=0)
    seconds: float = Field(default=Limits.seconds, gt=0)


class SplitOptions(_Strict):
    """How to split: `by` one of the splitters, and its options (none for `last`, `given` and `auto`)."""

    by: Literal["auto", "cold-items", "given", "last", "random", "time"] = "auto"
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, gt=0, lt=1)

    def split(self, dataset: Dataset) -> Split:
        """Dataset → its three parts."""
        splitter: Callable[..., Split] = splits.SPLITTERS[self.by]
        if self.by in ("auto", "given", "last"):
            return splitter(dataset)
        return splitter(dataset, validation=self.validation, test=self.test)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Component(BaseModel):
    """A component by its registered name, and its options; in TOML a string or a table with `name`.

    search: option → what `tune` tries instead of what it knows: two numbers (from, to) or choices
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    search: dict[str, list[Any]] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Everything beside the name."""
        return dict(self.model_extra or {})

    @property
    def label(self) -> str:
        """The name with the options that are told: `ContentNeighbors(by=photo)`."""
        told = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({told})" if told else self.name

    def make(self, kind: str) -> Any:
        """The component itself; raises `OptionError`, also for values to try that it would not take."""
        for option, among in (self.search or {}).items():
            if option in self.options or not among:
                found = self.options.get(option, "nothing")
                raise OptionError(
                    f"{self.name}: search has {option} = {among}, and it is given as {found!r}; "
                    "give an option, or say between what to search it"
                )
            for value in among:
                registry.make(kind, self.name, {**self.options, option: value})
        return registry.make(kind, self.name, self.options)


Named = Annotated[Component, BeforeValidator(_named)]
Optional = Annotated[Component | None, BeforeValidator(lambda value: None if value == "none" else _named(value))]
Several = Annotated[list[Named], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]
KINDS = {
    "encoders": "encoder",
    "normalize": "normalizer",
    "fill": "filler",
    "views": "augmentation",
    "align": "aligner",
    "fusion": "fuser",
    "models": "recommender",
    "raters": "rater",
}  # key of a recipe → kind of its components
RATERS = ("Biases", "NeighborRatings", "ContentRatings", "FactorRatings", "BayesianFactors")  # where none are named


def _parts(value: Any) -> list[Component]:
    """The components in a value of a recipe: one, a list of them, or a mapping to them."""
    if isinstance(value, Component):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value or []
    return [part for each in values for part in _parts(each)]


class Recipe(_Strict):
    """What to do with a dataset, from cleaning to the models; every part has a default."""

    clean: Clean = Clean()
    limits: LimitsOptions = LimitsOptions()
    split: SplitOptions = SplitOptions()
    encoders: dict[str, Named] = Field(default_factory=dict, description="column or modality → encoder")
    allow_download: bool = Field(default=False, description="let encoders fetch their models from the hub")
    normalize: dict[str, Several] = Field(
        default_factory=dict, description="column or modality → normalizers, in order"
    )
    views: dict[str, Several] = Field(
        default_factory=dict, description="column or modality → augmentations of its media that align learns from"
    )
    n_views: int = Field(default=4, ge=1, description="variants of each item's media")
    fill: Optional = Field(default=None, description="what predicts vectors that are missing; default: nothing")
    align: Optional = Field(default=Component(name="GCCA"), description="what makes the shared space, or none")
    fusion: Named = Component(name="Concat")
    models: list[Named] = Field(default_factory=list, description="default: every model that the data allow")
    raters: list[Named] = Field(default_factory=list, description="models that predict ratings; default: those usual")

    @field_validator(*KINDS)
    @classmethod
    def _known(cls, value: Any, info: Any) -> Any:
        for part in _parts(value):
            part.make(KINDS[info.field_name])
        return value

    @model_validator(mode="after")
    def _views_are_of_use(self) -> Self:
        if self.views and not (self.align and self.align.make("aligner").takes_views):
            found = self.align.name if self.align else "none"
            raise ValueError(
                f"views are what an aligner learns from, but align = {found!r} does not; "
                "write align = 'Towers', or leave views out"
            )
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """A TOML file → the recipe; raises `OptionError` with every fault in it."""
        try:
            return cls.parse(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
        except OSError as error:
            raise OptionError(f"cannot read the recipe {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise OptionError(f"{path} is not TOML: {error}") from error

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """A mapping as TOML gives it → the recipe; raises `OptionError` with every fault in it.

        where: the file that it was read from
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            faults = "; ".join(cls._in_words(fault) for fault in error.errors())
            raise OptionError(f"{where}: {faults}" if where else faults) from None

    @classmethod
    def _in_words(cls, fault: Any) -> str:
        if fault["type"] != "extra_forbidden":
            return registry.fault_in_words(fault)
        *sections, key = fault["loc"]
        known: Any = cls
        for section in sections:
            known = known.model_fields[section].annotation
        names = list(known.model_fields)
        return f"unknown key {'.'.join(fault['loc'])!r}{did_you_mean(key, names)} Known: {', '.join(names)}."

    def cleaned(self, dataset: Dataset, on_progress: OnProgress | None = None) -> Dataset:
        """Dataset → the clean one."""
        limits = Limits(**self.limits.model_dump())
        return clean(dataset, limits=limits, on_progress=on_progress, **self.clean.model_dump())

    def with_vectors(self, train: Dataset, cache: VectorCache | None, on_progress: OnProgress | None = None) -> Dataset:
        """Training dataset → the same with vectors: encoded, normalized, filled, aligned, fused, as the recipe says."""
        limits = Limits(**self.limits.model_dump())
        train = encode(train, self._encoders(train), cache=cache, limits=limits, on_progress=on_progress)
        if not train.embeddings:
            return train
        if self.normalize:
            made = {key: [part.make("normalizer") for part in parts] for key, parts in self.normalize.items()}
            train = normalize(train, made)
        if self.fill:
            train = fill(train, self.fill.make("filler"))
        present = np.stack([embeddings.present for embeddings in train.column_vectors.values()])
        if self.align and (present[:, train.warm].sum(axis=0) > 1).sum() > 1:  # items to learn from
            train = align(train, self.align.make("aligner"), views=self._views(train, limits))
        return fuse(train, self.fusion.make("fuser"))

    def _views(self, train: Dataset, limits: Limits) -> dict[str, NDArray[np.float32]]:
        """Training dataset with vectors → column → vectors of its augmented media, normalized as the column is."""
        encoders: dict[str, Encoder] = {}
        normalizers: dict[str, Sequence[Normalizer]] = {}
        for stage in train.stages:
            encoders |= stage.encoders_ if isinstance(stage, Encoded) else {}
            normalizers |= stage.normalizers_ if isinstance(stage, Normalized) else {}
        modalities = {name: train.catalog.columns[name].modality for name in encoders}
        for key in self.views:
            if key not in encoders and key not in modalities.values():
                known = {**encoders, **dict.fromkeys(modalities.values())}
                told = f"no such column of media{did_you_mean(key, known)} There are: {', '.join(known)}."
                raise OptionError(f"views of {key!r}: {told}")
        rows = np.flatnonzero(train.warm) if train.warm.any() else None
        made = {}
        for name, modality in modalities.items():
            parts = self.views.get(name) or self.views.get(modality)
            if parts and name in train.embeddings:
                chain = Chain(steps=tuple(part.make("augmentation") for part in parts))
                views = encode_views(train, name, encoders[name], chain, n_views=self.n_views, rows=rows, limits=limits)
                there = views.any(axis=2, keepdims=True)
                for step in normalizers.get(name, ()):
                    views = np.stack([step.apply(view) for view in views])
                made[name] = np.where(there, views, np.float32(0))
        return made

    def _encoders(self, train: Dataset) -> dict[str, Encoder]:
        encoders = {key: part.make("encoder") for key, part in self.encoders.items()}
        known = {**dict.fromkeys(train.catalog.columns), **dict.fromkeys(("text", "image", "audio", "video"))}
        for key, encoder in encoders.items():
            if key not in known:
                raise OptionError(f"encoder for {key!r}: no such column or modality; there are {', '.join(known)}")
            if self.allow_download and hasattr(encoder, "allow_download"):
                encoder.allow_download = True
        return {**default_encoders(), **encoders}

    def models_for(self, train: Dataset) -> dict[str, Recommender]:
        """Training dataset with vectors → label → model: the recipe's, or every model that the data allow."""
        return {part.label: part.make("recommender") for part in self.components(train)}

    def components(self, train: Dataset) -> list[Component]:
        """The same as names and options."""
        return self.models or _default_models(train)

    def rater_components(self, train: Dataset) -> list[Component]:
        """Training dataset with vectors → the models that predict ratings, as names and options."""
        return self.raters or [Component(name=name) for name in RATERS if train.embeddings or name != "ContentRatings"]

    def one_model(self, name: str | None = None) -> Component | None:
        """The model or rater to train: by its name or label, or the only one of the recipe; None where it names none.

        A model keeps the options that the recipe gives to it. Raises `OptionError` when several could be meant.
        """
        found = [part for part in (*self.models, *self.raters) if name in (None, part.name, part.label)]
        if len(found) > 1:
            raise OptionError(
                f"the recipe names {len(found)} models: {', '.join(part.label for part in found)}; "
                "expected one to train; say which with --model NAME"
            )
        return found[0] if found else Component(name=name) if name else None


def _default_models(train: Dataset) -> list[Component]:
    """Every kind of model; content models once a column, so that the table shows what each one is worth alone."""
    models: list[dict[str, Any]] = [
        {"name": name} for name in ("Random", "Popular", "ItemNeighbors", "EASE", "RandomWalk")
    ]
    if train.n_items > EASE().max_items:
        models.remove({"name": "EASE"})
    columns = sorted(train.column_vectors)
    if columns:
        models += [{"name": "ContentNeighbors", "by": column} for column in (*columns, "fused")]
        models += [{"name": "ContentWalk"}]
    return [Component.model_validate(model) for model in models]
