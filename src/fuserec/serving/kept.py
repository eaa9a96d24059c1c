"""Kept: what takes seconds to make of a trained model → a file, so that the next start has it at once."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from fuserec import __version__
from fuserec.atomic import new_file
from fuserec.interest import Aspect

log = logging.getLogger("fuserec.serving")
T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]
Packed = tuple[Arrays, Any]  # arrays, and the rest as JSON
FOLDER = ".made"  # inside the media folder of a service
VERSION = 2  # of how these things are made: another number, and they are made anew


def kept(
    folder: Path,
    name: str,
    manifest: Mapping[str, Any],
    make: Callable[[], T],
    pack: Callable[[T], Packed],
    unpack: Callable[[Arrays, Any], T],
) -> T:
    """A folder, what it is, and the manifest of the model it is of → what was kept there, or it is made and kept.

    A file that is damaged, or of another model or version, counts as none. Where nothing can be written, a warning is
    logged.
    """
    told = json.dumps([VERSION, __version__, manifest["files"], manifest["model"]], sort_keys=True)
    path = folder / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.safetensors"
    try:
        with safe_open(path, framework="numpy") as file:
            return unpack({key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["told"]))
    except FileNotFoundError:
        pass
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("%s is damaged (%s) and made anew", path, error)
    made = make()
    arrays, rest = pack(made)
    try:
        with new_file(path) as place:
            save_file(
                {key: np.ascontiguousarray(array) for key, array in arrays.items()}, place, {"told": json.dumps(rest)}
            )
        for old in set(folder.glob(f"{name}-*.safetensors")) - {path}:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be kept in %s (%s); it is made again after every start", name, folder, error)
    return made


def pack_aspects(aspects: tuple[Aspect, ...]) -> Packed:
    """Groups of items → arrays and JSON."""
    arrays: Arrays = {}
    for place, one in enumerate(aspects):
        arrays |= {f"{place}/indptr": one.members.indptr, f"{place}/indices": one.members.indices}
        arrays[f"{place}/known"] = one.known
    told = [{"column": one.column, "kind": one.kind, "names": one.names, "typical": one.typical} for one in aspects]
    return arrays, told


def unpack_aspects(arrays: Arrays, told: Any) -> tuple[Aspect, ...]:
    """The same the other way."""
    found = []
    for place, one in enumerate(told):
        indptr, indices, known = (arrays[f"{place}/{name}"] for name in ("indptr", "indices", "known"))
        ones = np.ones(len(indices), np.float32)
        members = csr_matrix((ones, indices, indptr), shape=(len(indptr) - 1, len(known)))
        names, typical = tuple(one["names"]), tuple(map(tuple, one["typical"]))
        found.append(Aspect(one["column"], one["kind"], names, typical, members, known))
    return tuple(found)
