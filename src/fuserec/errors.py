"""Every error that fuserec raises on purpose; each message says what was found, what was expected and what to do next.

FuserecError
├── DataError           a table, a file or a value that cannot be used (also a ValueError)
├── OptionError         an unknown option, recipe key or component name (also a ValueError)
├── UnknownIdError      a user or an item that is not in the data (also a LookupError)
├── MediaError          one picture, sound or video that cannot be decoded within the limits
├── NotFittedError      a model or an encoder used before `fit` (also a RuntimeError)
├── TooLargeError       work that would not fit in memory; names the alternative (also a RuntimeError)
├── ArtifactError       a saved model that cannot be read, or a folder that must not be overwritten
├── ConflictError       an item that is there already, or that only a new training can change
├── StoreError          a store of events, items and keys that cannot be reached, or is damaged
└── MissingExtraError   an optional package that is not installed (also an ImportError)
"""

from collections.abc import Iterable
from difflib import get_close_matches


class FuserecError(Exception):
    """The root of the tree: `except FuserecError` catches everything below."""


class DataError(FuserecError, ValueError):
    """A table, a file or a value that cannot be used."""


class OptionError(FuserecError, ValueError):
    """An unknown option, recipe key or component name."""


class UnknownIdError(FuserecError, LookupError):
    """A user or an item that is not in the data."""


class MediaError(FuserecError):
    """One picture, sound or video that cannot be decoded within the limits."""


class NotFittedError(FuserecError, RuntimeError):
    """A model or an encoder used before `fit`."""


class TooLargeError(FuserecError, RuntimeError):
    """Work that would not fit in memory; the message names the alternative."""


class ArtifactError(FuserecError):
    """A saved model that cannot be read, or a folder that must not be overwritten."""


class ConflictError(FuserecError):
    """An item that is there already, or that only a new training can change."""


class StoreError(FuserecError):
    """A store of events, items and keys that cannot be reached, or is damaged."""


class MissingExtraError(FuserecError, ImportError):
    """An optional package that is not installed; the message names the extra."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A misspelt word and the known ones → `"; did you mean 'x'?"`, or a full stop when nothing is close.

    Capital letters do not count: "ease" is close to "EASE".
    """
    names = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return f"; did you mean {names[close[0]]!r}?" if close else "."
