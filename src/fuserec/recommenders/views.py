"""Two views of a history, for contrastive regularization (CL4SRec: Xie 2022, section 3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fuserec import registry
from fuserec.augmentation.augmentation import Augmentation
from fuserec.data.history import NOTHING

MASK = -2  # "something was here"
VIEWS = ("SequenceCrop", "SequenceMask", "SequenceReorder")


def augmentations(names: Sequence[str]) -> list[Augmentation]:
    """Names → augmentations of histories, with their defaults."""
    return [
        registry.make("augmentation", name, {"token": MASK} if name == "SequenceMask" else {}) for name in names
    ]


def two_views(
    histories: NDArray[np.int64], chosen: Sequence[Augmentation], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Histories int64 (b, l), padded on the left → two arrays like it, by two different augmentations a history."""
    made = [np.full_like(histories, NOTHING) for _ in range(2)]
    for row, history in enumerate(histories):
        real = history[history != NOTHING]
        for view, one in zip(made, rng.permutation(len(chosen)), strict=False):
            changed = chosen[one % len(chosen)](real, rng)
            view[row, histories.shape[1] - len(changed) :] = changed
    return made
