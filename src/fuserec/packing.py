"""Packing: components and what they learned ↔ JSON and arrays; nothing is pickled and no code is stored.

A learned attribute ends in `_` and is an array, a CSR matrix, a string, a number, None, another component, or a tuple
or a dict (by string) of these.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse

from fuserec import registry
from fuserec.errors import ArtifactError

Arrays = dict[str, NDArray[Any]]


def learned(component: Any) -> dict[str, Any]:
    """A component → its learned attributes by name."""
    return {key: value for key, value in vars(component).items() if key.endswith("_") and not key.startswith("_")}


def pack(value: Any, arrays: Arrays, place: str) -> Any:
    """A value → JSON; its arrays are put into `arrays`, under names that begin with `place`.

    Raises `ArtifactError` for what cannot be stored.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [pack(part, arrays, f"{place}/{index}") for index, part in enumerate(value)]
    if isinstance(value, Mapping):
        return {"dict": {key: pack(part, arrays, f"{place}/{key}") for key, part in value.items()}}
    if isinstance(value, np.ndarray):
        arrays[place] = np.ascontiguousarray(value)
        return {"array": place}
    if issparse(value):
        csr = value.tocsr()
        arrays |= {f"{place}.{part}": getattr(csr, part) for part in ("data", "indices", "indptr")}
        return {"csr": place, "shape": list(csr.shape)}
    if is_dataclass(value) and not isinstance(value, type):
        return pack_component(value, arrays, place)
    raise ArtifactError(
        f"cannot store {place}, a {type(value).__name__}; expected an array, a string, a number, a component, "
        "or a tuple or a dict of them"
    )


def pack_component(component: Any, arrays: Arrays, place: str, but: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A registered component → its kind, name, options and learned attributes (`but` those) as JSON."""
    kind = registry.kind_of(type(component))
    if kind is None:
        raise ArtifactError(
            f"{type(component).__name__} is not registered, so it could not be loaded again; register it first"
        )
    attributes = {key: value for key, value in learned(component).items() if key not in but}
    return {
        "component": kind,
        "name": type(component).__name__,
        "options": {
            option.name: getattr(component, option.name)
            for option in fields(component)
            if not option.name.endswith("_")
        },
        "learned": {key: pack(value, arrays, f"{place}/{key}") for key, value in attributes.items()},
    }


def unpack(packed: Any, arrays: Arrays) -> Any:
    """What `pack` made → the value; raises KeyError or TypeError where it was damaged, `OptionError` for an option."""
    if isinstance(packed, list):
        return tuple(unpack(part, arrays) for part in packed)
    if not isinstance(packed, dict):
        return packed
    for tag, made in _UNPACKED.items():
        if tag in packed:
            return made(packed, arrays)
    raise KeyError(f"none of {', '.join(_UNPACKED)} in {list(packed)}")


def _component(packed: dict[str, Any], arrays: Arrays) -> Any:
    component = registry.make(packed["component"], packed["name"], packed["options"])
    for key, value in packed["learned"].items():
        setattr(component, key, unpack(value, arrays))
    return component


def _csr(packed: dict[str, Any], arrays: Arrays) -> csr_matrix:
    parts = tuple(arrays[f"{packed['csr']}.{part}"] for part in ("data", "indices", "indptr"))
    return csr_matrix(parts, shape=tuple(packed["shape"]))


_UNPACKED: dict[str, Callable[[dict[str, Any], Arrays], Any]] = {
    "component": _component,
    "array": lambda packed, arrays: arrays[packed["array"]],
    "csr": _csr,
    "dict": lambda packed, arrays: {key: unpack(part, arrays) for key, part in packed["dict"].items()},
}
