"""Augmentation: the contract of everything that makes a random variant of a value, for training only; `Chain`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fuserec.errors import OptionError


@dataclass(kw_only=True, eq=False)
class Augmentation(ABC):
    """Makes a variant of one value that means the same: a model that sees many learns what does not matter.

    modality: `image`, `audio`, `text`, `spectrogram` or `sequence`, what values it takes
    """

    modality: ClassVar[str]

    @abstractmethod
    def __call__(self, value: Any, rng: np.random.Generator) -> Any:
        """A value → a variant of the same type, drawn from `rng`; the value itself is not changed."""


@dataclass(kw_only=True, eq=False)
class Chain(Augmentation):
    """Several augmentations of one modality, one after the other."""

    steps: tuple[Augmentation, ...]

    def __post_init__(self) -> None:
        found = sorted({step.modality for step in self.steps})
        if len(found) != 1:
            raise OptionError(f"a chain of augmentations takes one modality; found {', '.join(found) or 'no steps'}")
        self.modality = found[0]  # type: ignore[misc]  # a chain's modality is that of its steps

    def __call__(self, value: Any, rng: np.random.Generator) -> Any:
        """A value → its variant after all steps, in their order."""
        for step in self.steps:
            value = step(value, rng)
        return value


def check_range(owner: object, low: float, high: float, **options: float) -> None:
    """Raise `OptionError` for an option of `owner` that is not a number from `low` to `high`."""
    for name, value in options.items():
        if not low <= value <= high:
            raise OptionError(f"{type(owner).__name__}: {name} is {value:g}; expected {low:g} to {high:g}")
