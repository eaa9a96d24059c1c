"""Variants of pictures: noise, rotation, cropping, color. RGB uint8 (height, width, 3) in, the same shape out."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from fuserec.augmentation.augmentation import Augmentation, check_range
from fuserec.errors import OptionError

Picture = NDArray[np.uint8]


@dataclass(kw_only=True, eq=False)
class PictureNoise(Augmentation):
    """Adds Gaussian noise to every pixel and color, clipped to [0, 255] (Bishop 1995: noise as regularization)."""

    modality: ClassVar[str] = "image"

    sigma: float = 16.0  # standard deviation, of colors in [0, 255]

    def __post_init__(self) -> None:
        check_range(self, 0, 255, sigma=self.sigma)

    def __call__(self, value: Picture, rng: np.random.Generator) -> Picture:
        """RGB uint8 (height, width, 3) → the same shape with noise."""
        noisy = value + np.float32(self.sigma) * rng.standard_normal(value.shape, dtype=np.float32)
        return noisy.round().clip(0, 255).astype(np.uint8)


@dataclass(kw_only=True, eq=False)
class Rotation(Augmentation):
    """Turns a picture around its center, by bilinear sampling (Simard et al. 2003).

    The corners that come into view take the picture's mean color, so that they add no edge of black or white.
    """

    modality: ClassVar[str] = "image"

    degrees: float = 30.0  # at most, to either side

    def __post_init__(self) -> None:
        check_range(self, 0, 180, degrees=self.degrees)

    def __call__(self, value: Picture, rng: np.random.Generator) -> Picture:
        """RGB uint8 (height, width, 3) → the same shape, turned counterclockwise by -degrees to degrees."""
        angle = rng.uniform(-self.degrees, self.degrees)
        red, green, blue = value.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
        turned = Image.fromarray(value).rotate(angle, Image.Resampling.BILINEAR, fillcolor=(red, green, blue))
        return np.array(turned)


@dataclass(kw_only=True, eq=False)
class ResizedCrop(Augmentation):
    """Cuts a part out of a picture and stretches it to the picture's size (Szegedy et al. 2015, section 6).

    The part's area is a share of the picture's, drawn evenly from `smallest` to `largest`; its shape, width over height
    as a multiple of the picture's, is drawn evenly in its logarithm from 1 / `aspect` to `aspect`. A part wider or
    higher than the picture is cut there.
    """

    modality: ClassVar[str] = "image"

    smallest: float = 0.5  # share of the picture's area
    largest: float = 1.0  # share of the picture's area
    aspect: float = 4 / 3  # how much wider or higher than the picture's shape, at most

    def __post_init__(self) -> None:
        check_range(self, 0.01, 1, smallest=self.smallest, largest=self.largest)
        check_range(self, 1, 10, aspect=self.aspect)
        if self.smallest > self.largest:
            raise OptionError(f"ResizedCrop: smallest is {self.smallest}, above largest, which is {self.largest}")

    def __call__(self, value: Picture, rng: np.random.Generator) -> Picture:
        """RGB uint8 (height, width, 3) → the same shape, a part of it enlarged."""
        area = rng.uniform(self.smallest, self.largest)
        shape = np.exp(rng.uniform(-1, 1) * np.log(self.aspect))
        shares = np.sqrt([area / shape, area * shape])  # of the height and of the width
        full = np.array(value.shape[:2])
        height, width = np.clip((full * shares).round().astype(int), 1, full).tolist()
        top, left = rng.integers([value.shape[0] - height + 1, value.shape[1] - width + 1]).tolist()
        box = (left, top, left + width, top + height)
        size = (value.shape[1], value.shape[0])
        return np.array(Image.fromarray(value).resize(size, Image.Resampling.BILINEAR, box=box))


@dataclass(kw_only=True, eq=False)
class ColorJitter(Augmentation):
    """Changes brightness, contrast and saturation, in random order (Chen et al. 2020, SimCLR, appendix A).

    Each is a blend degenerate + factor (picture - degenerate), with a factor drawn evenly from 1 - option to
    1 + option, of the picture with black, with its mean gray, and with its own gray version.
    """

    modality: ClassVar[str] = "image"

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4

    def __post_init__(self) -> None:
        check_range(self, 0, 1, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation)

    def __call__(self, value: Picture, rng: np.random.Generator) -> Picture:
        """RGB uint8 (height, width, 3) → the same shape in other colors."""
        picture = Image.fromarray(value)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        options = (self.brightness, self.contrast, self.saturation)
        for index in rng.permutation(3):
            factor = rng.uniform(1 - options[index], 1 + options[index])
            picture = kinds[index](picture).enhance(factor)
        return np.array(picture)
