"""Variants of sounds: noise, shift and gain of mono float32 (n_samples,), and masks of spectrograms."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.augmentation.augmentation import Augmentation, check_range

Sound = NDArray[np.float32]


@dataclass(kw_only=True, eq=False)
class SoundNoise(Augmentation):
    """Adds white Gaussian noise at a given signal-to-noise ratio: SNR = 10 log10(power of sound / power of noise) dB.

    The ratio holds exactly for every sound (to float32), silence stays silent; samples may leave [-1, 1].
    (Spijkervet and Burgoyne 2021, CLMR, section 3.1.)
    """

    modality: ClassVar[str] = "audio"

    snr: float = 20.0  # dB

    def __post_init__(self) -> None:
        check_range(self, -60, 120, snr=self.snr)

    def __call__(self, value: Sound, rng: np.random.Generator) -> Sound:
        """Mono float32 (n_samples,) → the same shape with noise."""
        noise = rng.standard_normal(value.shape, dtype=np.float32)
        loud = np.sqrt(np.mean(value**2) / np.mean(noise**2)) if value.size else np.float32(0)
        noisy: Sound = value + np.float32(loud * 10 ** (-self.snr / 20)) * noise
        return noisy


@dataclass(kw_only=True, eq=False)
class TimeShift(Augmentation):
    """Moves a sound in time, forward or backward; what leaves at one end comes in at the other, so nothing is lost."""

    modality: ClassVar[str] = "audio"

    share: float = 0.25  # of the sound's length, at most

    def __post_init__(self) -> None:
        check_range(self, 0, 1, share=self.share)

    def __call__(self, value: Sound, rng: np.random.Generator) -> Sound:
        """Mono float32 (n_samples,) → the same samples, rotated."""
        return np.roll(value, round(value.size * rng.uniform(-self.share, self.share)))


@dataclass(kw_only=True, eq=False)
class Gain(Augmentation):
    """Makes a sound louder or softer: samples times 10^(g / 20), g drawn evenly from -`decibels` to `decibels`.

    (Spijkervet and Burgoyne 2021, CLMR, section 3.1.) Samples may leave [-1, 1]; clipped, the sound would be another.
    """

    modality: ClassVar[str] = "audio"

    decibels: float = 6.0  # dB, at most, louder or softer

    def __post_init__(self) -> None:
        check_range(self, 0, 60, decibels=self.decibels)

    def __call__(self, value: Sound, rng: np.random.Generator) -> Sound:
        """Mono float32 (n_samples,) → the same shape, louder or softer."""
        louder: Sound = value * np.float32(10 ** (rng.uniform(-self.decibels, self.decibels) / 20))
        return louder


@dataclass(kw_only=True, eq=False)
class SpecMask(Augmentation):
    """SpecAugment without warping (Park et al. 2019, section 2): blanks bands of frequency and stretches of time.

    A frequency mask covers f bands from f0: f drawn evenly from 0 to `band_width`, f0 from 0 to n_mels - f. A time mask
    covers t frames: t from 0 to `time_width`, but at most `time_share` of all frames (the p of the paper). What is
    covered takes the spectrogram's mean, as their zero does, which is the mean after their normalization.
    """

    modality: ClassVar[str] = "spectrogram"

    bands: int = 2  # frequency masks
    band_width: int = 8  # bands, at most
    times: int = 2  # time masks
    time_width: int = 40  # frames, at most
    time_share: float = 0.2  # of all frames, at most, a mask

    def __post_init__(self) -> None:
        check_range(self, 0, 1_000, bands=self.bands, times=self.times)
        check_range(self, 0, 1_000_000, band_width=self.band_width, time_width=self.time_width)
        check_range(self, 0, 1, time_share=self.time_share)

    def __call__(self, value: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Float32 (n_mels, n_frames) → the same shape with masks."""
        n_mels, n_frames = value.shape
        masked = value.copy()
        mean = value.mean() if value.size else np.float32(0)
        for _ in range(self.bands):
            start, stop = _stretch(n_mels, min(self.band_width, n_mels), rng)
            masked[start:stop] = mean
        for _ in range(self.times):
            start, stop = _stretch(n_frames, min(self.time_width, int(self.time_share * n_frames)), rng)
            masked[:, start:stop] = mean
        return masked


def _stretch(size: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    length = int(rng.integers(longest + 1))
    start = int(rng.integers(size - length + 1))
    return start, start + length
