"""Run the application, until it is told to stop; ask one that runs."""

import ctypes
import gc
import json
import logging
import os
import sys
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from fastapi import FastAPI

from fuserec.errors import ArtifactError, OptionError
from fuserec.serving.http.traffic import JsonLines

PATIENCE = 30  # seconds that requests under way have when the server is told to stop
M_ARENA_MAX = -8  # of glibc's malloc.h
KEY_VARIABLE = "FUSEREC_KEY"


def few_arenas() -> None:
    """Let all threads allocate from two of glibc's arenas; to be called before there are threads.

    By default each thread has its own, and what one has freed is of no use to the others: resident memory grows for
    minutes though no more is in use. Elsewhere than on glibc, nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_ARENA_MAX, 2)


def few_pauses() -> None:
    """Let Python look for garbage among old objects rarely, and never among those that there are now.

    Else it looks at all of them, kept lists included, for a tenth of a second after each thousand or two of new lists;
    everybody waits. What nothing refers to is freed at once as ever: this is about objects that refer to each other.
    """
    gc.freeze()
    gc.set_threshold(700, 10, 100)  # the last is 10 by default


def serve(app: FastAPI, host: str, port: int) -> None:
    """Answer on host and port until SIGINT or SIGTERM: requests under way are answered, then the store is closed."""
    import uvicorn

    from fuserec.serving.http.protocol import Careful

    handler = logging.StreamHandler()  # standard error
    handler.setFormatter(JsonLines())
    for name in ("fuserec", "uvicorn"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers, logger.propagate = [handler], False
    few_pauses()
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=Careful,
        timeout_graceful_shutdown=PATIENCE,
    )


def ask_to_reload(url: str) -> dict[str, Any]:
    """The address of a running server → what it serves after reading its model folder again.

    The key is taken from the environment, so that it is in no list of processes.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise OptionError(f"{KEY_VARIABLE} is not set; put an API key with the scope write there")
    if urlsplit(url).scheme not in ("http", "https"):
        raise OptionError(f"{url!r}: expected an address such as http://127.0.0.1:8000")
    request = Request(f"{url.rstrip('/')}/v1/model/reload", method="POST", headers={"Authorization": f"Bearer {key}"})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=600) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except HTTPError as error:
        try:
            detail = json.load(error)["detail"]
        except (ValueError, KeyError, TypeError):
            detail = error.reason
        raise ArtifactError(f"{url} answered {error.code}: {detail}") from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise ArtifactError(f"{url} does not answer: {error}") from None
