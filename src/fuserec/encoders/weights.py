"""Weights of networks trained elsewhere: hashed, and loaded once a process, silently."""

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

loaded: dict[Hashable, Any] = {}  # what `once` has made
_loading = RLock()


def once(key: Hashable, make: Callable[[], Any]) -> Any:
    """A key and how to make its thing → the thing, made once a process however many threads ask."""
    with _loading:
        if key not in loaded:
            loaded[key] = make()
        return loaded[key]


def sha256(path: Path) -> str:
    """File → SHA-256 of its content, in hexadecimal. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no log lines from transformers while a model is loaded; put back as it was."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
