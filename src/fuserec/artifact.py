"""Artifacts: a fitted model ↔ a folder of JSON, safetensors and Parquet; no code inside, nothing is unpickled.

manifest.json          format and version; the model and the stages that made its vectors; hash of every file
items.parquet          item_id and the catalog's columns
users.parquet          user_id
arrays.safetensors     what was seen, what was learned, the vectors
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fuserec import __version__
from fuserec.atomic import new_folder
from fuserec.data.catalog import Catalog, Column
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.errors import ArtifactError
from fuserec.packing import Arrays, pack_component, unpack
from fuserec.recommenders.recommender import Recommender

FORMAT, VERSION = "fuserec-model", 3  # 3: walks are remembered
MANIFEST = "manifest.json"
KEPT_ELSEWHERE = frozenset({"catalog_", "users_", "embeddings_"})  # everything else that is learned is packed


def save_model(model: Recommender, folder: Path | str, *, about: Mapping[str, Any] | None = None) -> None:
    """Write a fitted model to a folder, all or nothing; an artifact that was there is replaced.

    about: anything JSON that is worth knowing later (dataset, split, versions). Raises `ArtifactError` for a folder
    that holds something else.
    """
    model._check_fitted()
    folder = Path(folder)
    arrays: Arrays = {}
    packed = pack_component(model, arrays, "model", KEPT_ELSEWHERE)
    for column, embeddings in model.embeddings_.items():
        arrays[f"vectors/{column}"], arrays[f"present/{column}"] = embeddings.vectors, embeddings.present
        arrays[f"filled/{column}"] = embeddings.filled
        arrays |= {f"parts/{column}/{part}": present for part, present in embeddings.parts.items()}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "made_with": f"fuserec {__version__}",
        "model": packed,
        "columns": {column.name: column.modality for column in model.catalog_.columns.values()},
        "vectors": {key: {"made_by": e.made_by, "modality": e.modality} for key, e in model.embeddings_.items()},
        "about": dict(about or {}),
    }
    with new_folder(folder, may_replace=_is_artifact) as place:
        if model.catalog_.root is not None:
            manifest["media"] = _relative(model.catalog_.root, folder)
        columns: dict[str, list[str | None]] = {"item_id": list(model.catalog_.ids)}
        columns |= {f"column:{c.name}": list(c.values) for c in model.catalog_.columns.values()}
        pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).write_parquet(place / "items.parquet")
        pl.DataFrame({"user_id": list(model.users_)}).write_parquet(place / "users.parquet")
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, place / "arrays.safetensors")
        manifest["files"] = {path.name: _sha256(path) for path in sorted(place.iterdir())}
        (place / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def load_model(folder: Path | str) -> Recommender:
    """Read a model that `save_model` wrote. Raises `ArtifactError` when it is not one, is newer, or was damaged."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _sha256(path) != expected:
            raise ArtifactError(f"{path} is missing or was changed since it was written; train the model again")
    try:
        arrays = _arrays(folder / "arrays.safetensors")
        model = unpack(manifest["model"], arrays)
        if not isinstance(model, Recommender):
            raise TypeError(f"it holds {type(model).__name__}, not a recommender")
        items, users = pl.read_parquet(folder / "items.parquet"), pl.read_parquet(folder / "users.parquet")
        columns = {
            name: Column(name, modality, tuple(items[f"column:{name}"]))
            for name, modality in manifest["columns"].items()
        }
        media = (folder / PurePosixPath(manifest["media"])).resolve() if "media" in manifest else None
        model.catalog_ = Catalog(Ids(items["item_id"]), columns, media)
        model.users_ = Ids(users["user_id"], "user")
        for name in manifest["vectors"]:
            arrays[f"vectors/{name}"].setflags(write=False)  # nobody else has them, so they need not be copied
        model.embeddings_ = {
            name: Embeddings(
                arrays.pop(f"vectors/{name}"),
                arrays.pop(f"present/{name}"),
                **made,
                parts=_parts(arrays, name),
                filled=arrays.pop(f"filled/{name}"),
            )
            for name, made in manifest["vectors"].items()
        }
    except (KeyError, TypeError, SafetensorError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{folder} is damaged ({error}); train the model again") from error
    return model


def _arrays(path: Path) -> Arrays:
    """A safetensors file → its arrays, which may be written to; each file page is let go of once it was copied.

    A file that is open maps all that was read of it: of a million items, a second time as much memory as the arrays.
    """
    with safe_open(path, "numpy") as file:
        names = list(file.keys())
    arrays = {}
    for name in names:
        with safe_open(path, "numpy") as file:
            arrays[name] = file.get_tensor(name)
    return arrays


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact folder, once its format and version are known to be readable."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(
            f"{folder} is not a fuserec model (no {MANIFEST}); make one with: fuserec train SOURCE --out {folder}"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found, version = manifest["format"], int(manifest["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not a manifest of a fuserec model ({error}); train the model again") from error
    if found != FORMAT:
        raise ArtifactError(f"{path} has format {found!r}; expected {FORMAT!r}")
    if version > VERSION:
        raise ArtifactError(
            f"{path} has version {version}, written by {manifest.get('made_with', 'a newer fuserec')}; "
            f"fuserec {__version__} reads up to version {VERSION}: pip install -U fuserec"
        )
    if version < VERSION:
        raise ArtifactError(
            f"{path} has version {version}, written by {manifest.get('made_with', 'an older fuserec')}; "
            f"fuserec {__version__} reads version {VERSION}: train the model again"
        )
    return manifest


def _is_artifact(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _parts(arrays: dict[str, NDArray[Any]], name: str) -> dict[str, NDArray[np.bool_]]:
    prefix = f"parts/{name}/"
    return {key.removeprefix(prefix): arrays.pop(key) for key in [key for key in arrays if key.startswith(prefix)]}


def _relative(media: Path, folder: Path) -> str:
    """Where the media are, seen from the artifact, so that both can be moved together; absolute on another drive."""
    try:
        return Path(os.path.relpath(media.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return media.resolve().as_posix()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
