"""Sounds → vectors of timbre, movement and spectrum: formulas only, nothing to download."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, rfft
from scipy.sparse import csr_matrix

from fuserec.data.media import Limits, read_audio
from fuserec.encoders.encoder import Encoder
from fuserec.encoders.image import same_length
from fuserec.errors import OptionError

RATE = 16_000  # Hz
SMALLEST = 1e-10  # power under which there is silence
TOP_DB = 80.0  # dB under the loudest that still count
ROLLOFF = 0.85
CHUNK = 512  # frames worked on at a time, so that a long sound needs little memory


@dataclass(kw_only=True, eq=False)
class MFCC(Encoder):
    """Sounds → float32 (b, 2 (n_mfcc - 1) + n_mfcc + 14), 90 by default: three blocks of the same length.

    timbre: the mean over time of the mel-frequency cepstral coefficients 1 to n_mfcc - 1 (`mfcc`);
    movement: their standard deviation over time and, with `deltas`, that of the slopes of all coefficients (`slopes`);
    spectrum: mean and standard deviation over time of loudness (in units of 80 dB) and of the rows of `spectral`.
    Coefficient 0 is the loudness, so the timbre of a clip does not change with the volume.
    Files of any length, rate and number of channels become 16 kHz mono; vectors have at most unit length.
    """

    modality: ClassVar[str] = "audio"
    batch_size: ClassVar[int] = 4  # decoded sounds can be large

    n_mfcc: int = 26
    n_mels: int = 64
    n_fft: int = 1024  # samples a window, 64 ms
    hop: int = 512  # samples from window to window, 32 ms
    deltas: bool = True  # with the slopes

    def __post_init__(self) -> None:
        if not 2 <= self.n_mfcc <= self.n_mels or not 0 < self.hop <= self.n_fft:
            raise OptionError(
                f"n_mfcc = {self.n_mfcc}, n_mels = {self.n_mels}, n_fft = {self.n_fft}, hop = {self.hop}; "
                "expected 2 <= n_mfcc <= n_mels and 0 < hop <= n_fft"
            )

    def decode(self, value: Path, limits: Limits) -> NDArray[np.float32]:
        """Sound file, or video file with sound → mono float32 (n_samples,) at 16 kHz. Raises `MediaError`."""
        return read_audio(value, limits, RATE)

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at 16 kHz → float32 (b, dim)."""
        return np.stack([self._encode(samples) for samples in batch])

    def _encode(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        mel, spectrum = features(samples, n_fft=self.n_fft, hop=self.hop, n_mels=self.n_mels)
        coefficients = mfcc(mel, self.n_mfcc)  # (n_mfcc, n_frames)
        loudness = coefficients[0] / (np.sqrt(self.n_mels) * TOP_DB)  # the mean of the mel bands in dB, over 80 dB
        movement = [coefficients[1:].std(axis=1)]
        if self.deltas:
            movement.append(slopes(coefficients).std(axis=1))
        told = np.vstack([loudness, spectrum])  # (7, n_frames)
        blocks = [
            coefficients[1:].mean(axis=1),
            np.concatenate(movement),
            np.concatenate([told.mean(axis=1), told.std(axis=1)]),
        ]
        return same_length(blocks)


def features(
    samples: NDArray[np.float32], *, rate: int = RATE, n_fft: int = 2048, hop: int = 512, n_mels: int = 128
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mono float32 (n_samples,) → (mel float32 (n_mels, n_frames), spectral float32 (6, n_frames)).

    mel: power in `n_mels` bands of the mel scale (`mel_matrix`), of Hann windows centered on every hop-th sample,
    silence around the ends; n_frames = 1 + n_samples // hop; a sound shorter than one window is padded to one.
    spectral: the rows of `spectral`, then zero-crossing rate and root mean square of every window.
    """
    samples = np.pad(samples, (0, max(0, n_fft - samples.size)))
    n_frames = 1 + samples.size // hop
    padded = np.pad(samples, n_fft // 2)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    bands = mel_matrix(rate, n_fft, n_mels)
    mel, told = np.empty((n_mels, n_frames), np.float32), np.empty((6, n_frames), np.float32)
    for start, frames in _chunks(padded, n_fft, hop, n_frames):  # frames (n, n_fft)
        spectrum = rfft(frames * window, axis=1).T  # complex64 (1 + n_fft // 2, n)
        power = spectrum.real**2 + spectrum.imag**2
        stop = start + len(frames)
        mel[:, start:stop] = bands @ power
        told[:4, start:stop] = spectral(power)
        told[4, start:stop] = (np.signbit(frames[:, 1:]) != np.signbit(frames[:, :-1])).mean(axis=1)
        told[5, start:stop] = np.sqrt((frames * frames).mean(axis=1))
    return mel, told


def _chunks(
    padded: NDArray[np.float32], n_fft: int, hop: int, n_frames: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop][:n_frames]
    for start in range(0, n_frames, CHUNK):
        yield start, frames[start : start + CHUNK]


def spectral(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power spectra float32 (n_bins, n_frames) → float32 (4, n_frames), each in [0, 1] (Peeters 2004, section 6).

    With magnitudes a, their shares p = a / sum(a), and frequencies f as a fraction of the highest (half the rate):
    centroid sum(p f); bandwidth sqrt(sum(p (f - centroid)^2)); roll-off, the lowest f below which lie 85 % of sum(a);
    flatness, the geometric over the arithmetic mean of the power (at least 1e-10). Silence has 0, 0, 0 and 1.
    """
    frequencies = np.linspace(0, 1, len(power), dtype=np.float32)
    magnitude = np.sqrt(power)
    total = magnitude.sum(axis=0)
    share = magnitude / np.where(total > 0, total, 1)
    centroid = frequencies @ share
    offset = frequencies[:, None] - centroid
    bandwidth = np.sqrt((share * offset * offset).sum(axis=0))
    reached = np.cumsum(magnitude, axis=0) >= ROLLOFF * total
    rolloff = frequencies[reached.argmax(axis=0)]
    audible = np.maximum(power, SMALLEST)
    flatness = np.exp(np.log(audible).mean(axis=0)) / audible.mean(axis=0)
    return np.stack([centroid, bandwidth, rolloff, flatness]).astype(np.float32)


def mfcc(mel: NDArray[np.float32], n_mfcc: int) -> NDArray[np.float32]:
    """Mel power float32 (n_mels, n_frames) → cepstral coefficients float32 (n_mfcc, n_frames), in dB.

    The orthonormal DCT-II over the bands of their power in dB (Davis and Mermelstein 1980, eq. 1), where
    everything more than 80 dB under the loudest band of the clip is raised to that.
    """
    decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(mel, SMALLEST))
    decibels = np.maximum(decibels, decibels.max() - TOP_DB)
    coefficients: NDArray[np.float32] = dct(decibels, type=2, axis=0, norm="ortho")[:n_mfcc]
    return coefficients


def slopes(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 (n, n_frames) → the slope at every frame, per frame: float32 (n, n_frames).

    d_t = sum_{k=1,2} k (c_{t+k} - c_{t-k}) / 10, a line through five frames (Furui 1986); the ends are repeated.
    """
    n_frames = coefficients.shape[1]
    padded = np.pad(coefficients, ((0, 0), (2, 2)), mode="edge")
    near = padded[:, 3 : 3 + n_frames] - padded[:, 1 : 1 + n_frames]
    far = padded[:, 4 : 4 + n_frames] - padded[:, :n_frames]
    slope: NDArray[np.float32] = ((near + 2 * far) / 10).astype(np.float32)
    return slope


@cache
def mel_matrix(rate: int, n_fft: int, n_mels: int) -> Any:
    """Rate in Hz, window in samples, number of bands → float32 CSR (n_mels, 1 + n_fft // 2).

    Triangles evenly spaced on the mel scale from 0 Hz to rate / 2, each of area one. The scale is Slaney's
    (Auditory Toolbox 1998): 3 mel per 200 Hz up to 1 kHz, above it 27 mel per factor of 6.4; librosa's default.
    """
    step = np.log(6.4) / 27
    top = 15 + np.log(rate / 2000) / step if rate > 2000 else 3 * rate / 400
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))[:, None]  # Hz, (n_mels + 2, 1)
    frequencies = np.linspace(0, rate / 2, 1 + n_fft // 2)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - left) / (center - left), (right - frequencies) / (right - center)
    triangles = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return csr_matrix(triangles.astype(np.float32))
