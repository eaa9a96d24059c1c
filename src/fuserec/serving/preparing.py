"""What the first requests would wait for, done in the background after a start or a reload."""

import logging
import os
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread, get_native_id

import numpy as np

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.recommenders.recommender import Recommender
from fuserec.serving.loaded import given_vectors

log = logging.getLogger("fuserec.serving")


class Background:
    """Steps in one thread, one after another; it ends with the process, or by `close` after the steps in the row.

    nice: how far it steps back for those who ask (Linux); 0 where they may have to wait for what it does
    """

    def __init__(self, nice: int = 0) -> None:
        self._nice = nice
        self._steps: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="fuserec-prepare", daemon=True)
        self._starting = Lock()

    def do(self, *steps: Callable[[], object]) -> None:
        """Put steps in the row."""
        for step in steps:
            self._steps.put(step)
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def close(self) -> None:
        """End after the step under way and those in the row."""
        self._steps.put(None)

    def _run(self) -> None:
        if self._nice and sys.platform == "linux":  # there, it is of one thread and of those that it starts
            os.setpriority(os.PRIO_PROCESS, get_native_id(), self._nice)
        while (step := self._steps.get()) is not None:
            try:
                step()
            except Exception as error:  # whoever asks first will be told
                log.warning("a preparation failed and is left to the first request", exc_info=error)


def warm_up(model: Recommender) -> None:
    """Let a model's encoders embed one of its own items, so that what they load and build is there for a new one."""
    catalog = model.catalog_
    n_columns = np.zeros(catalog.n_items, np.int64)  # that an item has
    for column in catalog.columns.values():
        n_columns += column.present
    if not n_columns.any():
        return
    row = int(n_columns.argmax())
    columns = {
        column.name: Column(column.name, column.modality, (column.values[row],)) for column in catalog.columns.values()
    }
    nobody = np.zeros(0, np.int64)
    vectors = {
        name: Embeddings(known.vectors[[row]], known.present[[row]], known.made_by, known.modality)
        for name in given_vectors(model)
        for known in [model.embeddings_[name]]
    }
    one = Dataset(
        "warm-up",
        Catalog(Ids(["warm-up"]), columns, catalog.root),
        Ids([], "user"),
        Interactions(nobody, nobody),
        vectors,
    )
    for stage in model.stages_:
        one = stage(one)
