"""Sounds → vectors of timbre, movement and spectrum: formulas only, nothing to download."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.media import Limits, read_audio
from fuserec.device import check_device, one_thread
from fuserec.encoders.encoder import Encoder
from fuserec.encoders.image import same_length
from fuserec.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

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
    device: str = "cpu"  # where torch computes; vectors differ by less than 1e-3 between devices

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
        import torch

        check_device(self.device)
        with torch.inference_mode(), one_thread:
            return np.stack([self._encode(torch.from_numpy(samples).to(self.device)) for samples in batch])

    def identity(self) -> str:
        """As of every encoder, without the device, which does not change the vectors."""
        described = json.loads(super().identity())
        del described["options"]["device"]
        return json.dumps(described, sort_keys=True)

    def _encode(self, samples: "Tensor") -> NDArray[np.float32]:
        import torch

        mel, spectrum = features(samples, n_fft=self.n_fft, hop=self.hop, n_mels=self.n_mels)
        coefficients = mfcc(mel, self.n_mfcc)  # (n_mfcc, n_frames)
        loudness = coefficients[:1] / (self.n_mels**0.5 * TOP_DB)  # the mean of the mel bands in dB, over 80 dB
        rows = [coefficients[1:], loudness, spectrum, *([slopes(coefficients)] if self.deltas else [])]
        spread, mean = torch.stack(torch.std_mean(torch.cat(rows), dim=1, correction=0)).cpu().numpy()
        timbre, told = slice(self.n_mfcc - 1), slice(self.n_mfcc - 1, self.n_mfcc + 6)
        movement = np.delete(spread, told)  # of the coefficients and of their slopes
        return same_length([mean[timbre], movement, np.concatenate([mean[told], spread[told]])])


def features(
    samples: "Tensor", *, rate: int = RATE, n_fft: int = 2048, hop: int = 512, n_mels: int = 128
) -> "tuple[Tensor, Tensor]":
    """Mono float32 tensor (n_samples,) → (mel float32 (n_mels, n_frames), spectral float32 (6, n_frames)), tensors.

    mel: power in `n_mels` bands of the mel scale (`mel_matrix`), of Hann windows centered on every hop-th sample,
    silence around the ends; n_frames = 1 + n_samples // hop; a sound shorter than one window is padded to one.
    spectral: the rows of `spectral`, then zero-crossing rate and root mean square of every window.
    """
    import torch
    from torch.nn.functional import pad

    padded = pad(samples, (n_fft // 2, n_fft // 2 + max(0, n_fft - len(samples))))
    window = torch.hann_window(n_fft, device=samples.device)
    bands = torch.from_numpy(mel_matrix(rate, n_fft, n_mels)).to(samples.device)
    mels, told = [], []
    for start in range(0, len(padded) - n_fft + 1, CHUNK * hop):
        part = padded[start : start + (CHUNK - 1) * hop + n_fft]
        spectrum = torch.stft(part, n_fft, hop, window=window, center=False, return_complex=True)  # (n_bins, n)
        power = spectrum.real.square() + spectrum.imag.square()
        mels.append(bands @ power)
        told.append(spectral(power))
    negative = torch.signbit(padded)
    crossings = (negative[1:] != negative[:-1]).float().unfold(0, n_fft - 1, hop).mean(dim=1)
    rms = padded.square().unfold(0, n_fft, hop).mean(dim=1).sqrt()
    return torch.cat(mels, dim=1), torch.vstack([torch.cat(told, dim=1), crossings, rms])


def spectral(power: "Tensor") -> "Tensor":
    """Power spectra float32 (n_bins, n_frames) → float32 (4, n_frames), each in [0, 1] (Peeters 2004, section 6).

    With magnitudes a, their shares p = a / sum(a), and frequencies f as a fraction of the highest (half the rate):
    centroid sum(p f); bandwidth sqrt(sum(p (f - centroid)^2)); roll-off, the lowest f below which lie 85 % of sum(a);
    flatness, the geometric over the arithmetic mean of the power (at least 1e-10). Silence has 0, 0, 0 and 1.
    """
    import torch

    frequencies = torch.linspace(0, 1, len(power), device=power.device)
    magnitude = power.sqrt()
    total = magnitude.sum(dim=0)
    share = magnitude / torch.where(total > 0, total, 1)
    centroid = frequencies @ share
    bandwidth = (share * (frequencies[:, None] - centroid).square()).sum(dim=0).sqrt()
    rolloff = (magnitude.cumsum(dim=0) < ROLLOFF * total).sum(dim=0) / (len(power) - 1)
    audible = power.clamp(min=SMALLEST)
    flatness = audible.log().mean(dim=0).exp() / audible.mean(dim=0)
    return torch.stack([centroid, bandwidth, rolloff, flatness])


def mfcc(mel: "Tensor", n_mfcc: int) -> "Tensor":
    """Mel power float32 (n_mels, n_frames) → cepstral coefficients float32 (n_mfcc, n_frames), in dB.

    The orthonormal DCT-II over the bands of their power in dB (Davis and Mermelstein 1980, eq. 1), where
    everything more than 80 dB under the loudest band of the clip is raised to that.
    """
    import torch

    decibels = 10 * mel.clamp(min=SMALLEST).log10()
    loudest = decibels.max()
    below = (decibels - loudest).clamp(min=-TOP_DB)  # an even spectrum then has coefficients of exactly 0
    coefficients = torch.from_numpy(cosines(n_mfcc, len(mel))).to(mel.device) @ below
    coefficients[0] += loudest * len(mel) ** 0.5
    return coefficients


def slopes(coefficients: "Tensor") -> "Tensor":
    """Float32 (n, n_frames) → the slope at every frame, per frame: float32 (n, n_frames).

    d_t = sum_{k=1,2} k (c_{t+k} - c_{t-k}) / 10, a line through five frames (Furui 1986); the ends are repeated.
    """
    from torch.nn.functional import pad

    padded = pad(coefficients, (2, 2), mode="replicate")
    near, far = padded[:, 3:-1] - padded[:, 1:-3], padded[:, 4:] - padded[:, :-4]
    return (near + 2 * far) / 10


@cache
def cosines(n_rows: int, n: int) -> NDArray[np.float32]:
    """The first `n_rows` rows of the orthonormal DCT-II of n numbers, as a matrix: float32 (n_rows, n)."""
    matrix: NDArray[np.float64] = np.cos(np.pi / n * np.arange(n_rows)[:, None] * (np.arange(n) + 0.5)) * (2 / n) ** 0.5
    matrix[0] /= 2**0.5
    return matrix.astype(np.float32)


@cache
def mel_matrix(rate: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Rate in Hz, window in samples, number of bands → float32 (n_mels, 1 + n_fft // 2).

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
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    return triangles.astype(np.float32)
