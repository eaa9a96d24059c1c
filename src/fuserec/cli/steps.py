"""What several commands do: read a source, make a recipe from options, prepare, and show what came out."""

import json
import os
import platform
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from fuserec import __version__
from fuserec.artifact import read_manifest
from fuserec.atomic import check_writable
from fuserec.cli import console
from fuserec.data.dataset import Dataset, SetAside, count_causes
from fuserec.data.recommendations import Recommendations
from fuserec.encoders.cache import VectorCache
from fuserec.errors import ArtifactError, OptionError
from fuserec.interest import InterestProfile
from fuserec.recipe import Component, Recipe
from fuserec.report import Report
from fuserec.sources.folder import read
from fuserec.worth import ModalityReport


def read_source(source: Path) -> Dataset:
    """A path → the dataset; what was guessed about it goes to standard error."""
    return read(source, on_note=console.note)


def recipe(
    file: Path | None,
    encoders: Sequence[str] | None = None,
    fusion: str | None = None,
    split: str | None = None,
    models: str | None = None,
    min_rating: float | None = None,
    align: str | None = None,
    overrides: Sequence[str] | None = None,
    allow_download: bool = False,
    ratings: bool = False,
) -> Recipe:
    """A recipe file and what the options say → the recipe; options win, and a model named keeps its options there.

    ratings: the models named predict ratings
    overrides: `"normalize.photo=ZScore"`: a key of the recipe, with dots, and its value
    """
    written = Recipe.read(file) if file else Recipe()
    told = written.model_dump()
    if encoders:
        told["encoders"] |= dict(key_value(text, "--encoder") for text in encoders)
    told |= {key: value for key, value in (("fusion", fusion), ("align", align)) if value}
    if allow_download:
        told["allow_download"] = True
    if split:
        told["split"]["by"] = split
    if models:
        names = [name.strip() for name in models.split(",") if name.strip()]
        of = written.raters if ratings else written.models
        known = {name: [part for part in of if part.name == name] for name in names}
        told["raters" if ratings else "models"] = [
            part.model_dump() for name in names for part in known[name] or [Component(name=name)]
        ]
    if min_rating is not None:
        told["clean"]["min_rating"] = min_rating
    for text in overrides or ():
        key, value = key_value(text, "--option")
        *sections, last = key.split(".")
        section = told
        for name in sections:
            inner = section.get(name)
            section[name] = section = dict(inner) if isinstance(inner, Mapping) else {"name": inner} if inner else {}
        section[last] = value
    return Recipe.parse(told)


def cleaned(plan: Recipe, source: Path) -> Dataset:
    """The clean dataset of a source."""
    dataset = read_source(source)
    with console.progress("checking ") as bars:
        return plan.cleaned(dataset, bars)


def encoded(plan: Recipe, train: Dataset, source: Path, cache: Path | None) -> Dataset:
    """A training dataset → the same with vectors, from the cache where they are known."""
    if not train.catalog.columns:
        return plan.with_vectors(train, None)
    place = cache or cache_of(source)
    check_writable(place)
    with VectorCache(place) as vectors, console.progress("encoding ") as bars:
        train = plan.with_vectors(train, vectors, bars)
    for name, column in train.catalog.columns.items():
        if name not in train.embeddings:
            told = "no encoder for" if column.present.any() else "no item has a usable"
            console.note(
                f"column {name} left out: {told} {column.modality} (see: fuserec inspect, fuserec list encoders)"
            )
    return train


def cache_of(source: Path) -> Path:
    """Where the vectors of a source are kept: inside its folder, or in the user's cache where that is read-only."""
    folder = source if source.is_dir() else source.parent
    inside = folder / ".fuserec" / "vectors.sqlite"
    place = inside.parent if inside.exists() else folder
    if os.access(place, os.W_OK) and place.stat().st_mode & 0o222:
        return inside
    elsewhere = user_cache_path("fuserec") / "vectors.sqlite"
    try:
        check_writable(elsewhere)
    except ArtifactError as error:
        raise ArtifactError(f"{place} is read-only, and {error}, with --cache FILE") from None
    console.note(f"{place} is read-only: vectors are cached in {elsewhere}")
    return elsewhere


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model that this fuserec can read, and may replace."""
    try:
        return bool(read_manifest(folder))
    except ArtifactError:
        return False


def check_keepable(folder: Path, ratings: bool) -> None:
    """Raise where the numbers of an evaluation cannot be kept in a model folder."""
    if ratings:
        raise OptionError("--keep is for evaluations of rankings; leave --ratings or --keep out")
    read_manifest(folder)


def key_value(text: str, option: str) -> tuple[str, Any]:
    """`"content=0.3"` → `("content", 0.3)`: a value is read as TOML where it is TOML, else as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise OptionError(f"{option} {text!r}: expected KEY=VALUE")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def training(plan: Recipe, label: str, train: Dataset, source: Path, options: Mapping[str, Any]) -> str:
    """The command that trains the model of this label as it was evaluated; options: those of the evaluation."""
    model = next(part for part in plan.components(train) if part.label == label)
    several = sum(part.name == model.name for part in plan.models) > 1
    words = ["fuserec", "train", str(source), "--out", "MODEL", "--model", label if several else model.name]
    told = (
        dict(options)
        if plan.models
        else {"--set": [f"{key}={value}" for key, value in model.options.items()], **options}
    )
    for option, value in told.items():
        for each in value if isinstance(value, list) else [value]:
            words += [] if each is None else [option, str(each)]
    return shlex.join(words)


def made_by() -> dict[str, str]:
    """The command and the versions that make a result."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn", "torch"))
    command = " ".join(["fuserec", *sys.argv[1:]])
    return {"command": command, "versions": f"fuserec {__version__}, Python {platform.python_version()}, {packages}"}


def maker(identity: str) -> str:
    """An `Embeddings.made_by` → the name of what made it."""
    try:
        told = json.loads(identity)
    except ValueError:
        return identity
    return str(told.get("encoder") or told.get("fuser") or identity)


def print_set_aside(entries: Sequence[SetAside]) -> None:
    """What was left out, counted by cause with an example each, on standard error."""
    for n, first in count_causes(entries):
        found = f" (found {first.found!r})" if first.found else ""
        example = f"{'for example' if n > 1 else 'at'} {first.where}{found}"
        console.note(f"set aside: {n:,} x {first.what}, {first.reason}; {example}")


def print_report(report: Report, as_json: bool, worth: ModalityReport | None = None) -> None:
    """The table with its caption and notes, the comparison, what columns are worth if that was asked; or the JSON."""
    if as_json:
        console.print_json(report.to_dict() | ({"modalities": worth.to_dict()} if worth else {}))
        return
    rows = [[row[0][:1].strip(), row[0][2:], *row[1:]] for row in report.rows()]  # the mark ● has a column of its own
    console.print_table(["", *report.header()], rows)
    for line in (report.caption(), *report.notes):
        console.say(line)
    header, compared = report.comparison()
    if compared:
        console.say(f"{report.chosen}, user by user:")
        console.print_table(header, compared)
    if worth:
        console.print_table(worth.header(), list(worth.rows()))
        for line in (worth.caption(), *worth.sentences()):
            console.say(line)


def session_items(user: str | None, items: str | None) -> list[str] | None:
    """What was given of a user id and of `--items A,B,C` → the items, or None where there is a user."""
    if (user is None) == (items is None):
        raise OptionError("give a user id, or --items A,B,C for somebody without an account; one of the two")
    return None if items is None else [part.strip() for part in items.split(",") if part.strip()]


def print_interests(profile: InterestProfile, as_json: bool) -> None:
    """What a user likes as a table, or the JSON."""
    if as_json:
        console.print_json(profile.to_dict())
        return
    rows = [
        [
            *(one.kind, one.column, one.name, f"{one.share:.0%}", f"{one.base:.1%}", f"{one.lift:.1f}"),
            *(f"{one.recommended:.0%}", ", ".join(profile.titles[item] for item in one.because[:3])),
            ", ".join(profile.shown(item) for item in one.typical[:3]),
        ]
        for one in profile.likings
    ]
    if not rows:
        console.say(profile.explain())
        return
    header = ["kind", "column", "interest", "history", "catalog", "times", "recommended", "because of", "typical"]
    console.print_table(header, rows)


def print_items(
    items: Recommendations, as_json: bool, explain: bool = False, profile: InterestProfile | None = None
) -> None:
    """Ranked items as a table, with what speaks for each if asked, and what the user likes; or the JSON."""
    if as_json:
        told = {} if profile is None else {"interests": profile.to_dict()["interests"]}
        console.print_json(items.to_dict() | told)
        return
    rows = [
        [str(rank), item.item_id, item.title, f"{item.score:.4g}"]
        + ([", ".join(f"{name} {share:.0%}" for name, share in list(item.why.items())[:3])] if explain else [])
        for rank, item in enumerate(items, start=1)
    ]
    console.print_table(["", "item", "title", "score", *(["because of"] if explain else [])], rows)
    if profile is not None and profile.likings:
        surest = list(dict.fromkeys(f"{one.name} ({one.kind} of {one.column})" for one in profile.likings))
        console.say(f"Likes: {'; '.join(surest)}. More: fuserec interests")


def first_line(component: Any) -> str:
    """The first line of a docstring."""
    return (component.__doc__ or "").strip().splitlines()[0] if component.__doc__ else ""


def users_to_show(train: Dataset, test: Dataset | None = None, n: int = 4) -> list[int]:
    """The rows of the users with most history; with a test part, of those who have interactions there."""
    n_seen = train.seen.getnnz(axis=1)
    if test is not None:
        n_seen = n_seen * (test.seen.getnnz(axis=1) > 0)
    return [int(user) for user in (-n_seen).argsort(kind="stable")[:n]]


def coverage(dataset: Dataset, checked: Dataset) -> dict[str, dict[str, Any]]:
    """A dataset, and the same after `clean` → column → modality, and how often it is usable, missing, broken."""
    columns = {}
    for name, column in dataset.catalog.columns.items():
        given, usable = int(column.present.sum()), int(checked.catalog.columns[name].present.sum())
        counts = {"usable": usable, "missing": dataset.n_items - given, "broken": given - usable}
        columns[name] = {"modality": column.modality, **counts}
    for name, vectors in dataset.embeddings.items():
        usable = int(vectors.present.sum())
        counts = {"usable": usable, "missing": dataset.n_items - usable, "broken": 0}
        columns[name] = {"modality": vectors.modality, **counts}
    return columns
