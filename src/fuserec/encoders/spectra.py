"""Sounds → spectra, and what they tell: mel bands, cepstrum, shape, contrast, pitch classes, peaks. In torch."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

RATE = 16_000  # Hz
SMALLEST = 1e-10  # power under which there is silence
TOP_DB = 80.0  # dB under the loudest that still count
ROLLOFF = 0.85
CHUNK = 600  # frames worked on at a time, so that a long sound needs little memory


class Line:
    """Sounds one after the other, each mono float32 (n_samples,) with silence around it, cut into windows as one.

    Torch computes outside of Python's lock but starts every step inside of it: with a few long steps for several sounds
    instead of many short ones for each, two threads really work at the same time.
    Windows are centered on every hop-th sample of their sound, which has 1 + n_samples // hop frames; a sound shorter
    than one window is padded to one.
    """

    def __init__(self, sounds: "list[Tensor]", *, n_fft: int, hop: int) -> None:
        import torch
        from torch.nn.functional import pad

        self.n_fft, self.hop = n_fft, hop
        self._places: list[slice] = []  # of the frames of each sound; the few between two sounds are nobody's
        parts, start = [], 0  # in hops
        for samples in sounds:
            n_frames = 1 + max(n_fft, len(samples)) // hop
            stop = start + n_frames - 1 + -(-n_fft // hop)  # where the last window has ended
            parts.append(pad(samples, (n_fft // 2, (stop - start) * hop - n_fft // 2 - len(samples))))
            self._places.append(slice(start, start + n_frames))
            start = stop
        self.samples = torch.cat(parts)

    def power(self) -> "Iterator[Tensor]":
        """Power spectra of Hann windows, float32 (1 + n_fft // 2, at most `CHUNK` frames), chunk by chunk."""
        import torch

        window = torch.hann_window(self.n_fft, device=self.samples.device)
        for start in range(0, len(self.samples) - self.n_fft + 1, CHUNK * self.hop):
            part = self.samples[start : start + (CHUNK - 1) * self.hop + self.n_fft]
            spectrum = torch.stft(part, self.n_fft, self.hop, window=window, center=False, return_complex=True)
            yield spectrum.real.square() + spectrum.imag.square()

    def by_sound(self, rows: "Tensor") -> "list[Tensor]":
        """What is known of all frames, (n, frames of the line) → for each sound (n, n_frames)."""
        return [rows[:, place] for place in self._places]


def features(
    sounds: "list[Tensor]", *, rate: int = RATE, n_fft: int = 2048, hop: int = 512, n_mels: int = 128
) -> "list[tuple[Tensor, Tensor]]":
    """Sounds, each mono float32 (n_samples,) → for each (mel float32 (n_mels, n_frames), spectral (6, n_frames)).

    mel: power in `n_mels` bands of the mel scale (`mel_matrix`) of the windows of `Line`.
    spectral: the rows of `spectral`, then zero-crossing rate and root mean square of every window.
    """
    import torch

    line = Line(sounds, n_fft=n_fft, hop=hop)
    bands = torch.from_numpy(mel_matrix(rate, n_fft, n_mels)).to(line.samples.device)
    told = torch.cat([torch.cat([bands @ power, spectral(power)]) for power in line.power()], dim=1)
    negative = torch.signbit(line.samples)
    crossings = (negative[1:] != negative[:-1]).float().unfold(0, n_fft - 1, hop).mean(dim=1)
    rms = line.samples.square().unfold(0, n_fft, hop).mean(dim=1).sqrt()
    rows = torch.vstack([told, crossings[: len(rms)], rms])
    return [(of_sound[:n_mels], of_sound[n_mels:]) for of_sound in line.by_sound(rows)]


def mel_spectrograms(samples: "Tensor", *, n_fft: int, hop: int, n_mels: int) -> "Tensor":
    """Sounds of one length, mono float32 (b, n_samples) at 16 kHz → power in mel bands, float32 (b, n_mels, n_frames).

    As the first part of `features`, for many short sounds at a time.
    """
    import torch

    window = torch.hann_window(n_fft, device=samples.device)
    spectra = torch.stft(samples, n_fft, hop, window=window, pad_mode="constant", return_complex=True)
    bands = torch.from_numpy(mel_matrix(RATE, n_fft, n_mels)).to(samples.device)
    return bands @ (spectra.real.square() + spectra.imag.square())


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


def contrast(power: "Tensor", rate: int = RATE) -> "Tensor":
    """Power spectra float32 (n_bins, n_frames) → float32 (6, n_frames): peaks over valleys, in dB, from low to high.

    In the bands of 0 to 200 Hz, the octaves from 200 Hz to 3.2 kHz, and the rest: the mean of the strongest 2 % of the
    bins over that of the weakest 2 %, at least one bin each (Jiang et al. 2002, section 3; bands as in librosa).
    """
    import torch

    edges = 200 * 2 ** np.arange(5) * 2 / rate * (len(power) - 1)  # in bins
    starts, stops = [0, *np.ceil(edges) - 1], [*np.floor(edges), len(power)]
    rows = []
    for start, stop in zip(map(int, starts), map(int, stops), strict=True):
        n = max(1, round(0.02 * (stop - start)))
        peak = power[start:stop].topk(n, dim=0).values.mean(dim=0)
        valley = power[start:stop].topk(n, dim=0, largest=False).values.mean(dim=0)
        rows.append(10 * (peak.clamp(min=SMALLEST) / valley.clamp(min=SMALLEST)).log10())
    return torch.stack(rows)


def chroma(power: "Tensor", rate: int = RATE) -> "Tensor":
    """Power spectra float32 (n_bins, n_frames) → float32 (12, n_frames): pitch classes from C to B, the strongest 1.

    The power of every bin goes to the classes by `chroma_matrix`; silence has 0 everywhere.
    """
    import torch

    classes = torch.from_numpy(chroma_matrix(rate, 2 * len(power) - 2)).to(power.device) @ power
    return classes / classes.amax(dim=0).clamp(min=SMALLEST)


@cache
def chroma_matrix(rate: int, n_fft: int) -> NDArray[np.float32]:
    """Rate in Hz and window in samples → float32 (12, 1 + n_fft // 2): how much of each bin is C, C sharp, ... B.

    A Gaussian around the bin's pitch, as wide as the bin and at least a semitone, at unit length; A is 440 Hz
    (Ellis 2007, Chroma feature analysis and synthesis; librosa's, without its preference for the middle octaves).
    """
    frequencies = np.arange(1, n_fft // 2 + 2) * rate / n_fft
    pitch = 12 * np.log2(frequencies / 440) + 9  # in semitones over a C
    pitch = np.concatenate([[pitch[0] - 18], pitch])  # the bin of 0 Hz has no pitch: 1.5 octaves below the next
    width = np.maximum(np.diff(pitch), 1)
    away = (pitch[:-1] - np.arange(12)[:, None] + 6) % 12 - 6  # semitones, (12, n_bins)
    weights: NDArray[np.float64] = np.exp(-0.5 * (2 * away / width) ** 2)
    weights /= np.linalg.norm(weights, axis=0)
    return weights.astype(np.float32)


def peaks(power: "Tensor", n: int) -> "Tensor":
    """Power spectra float32 (n_bins, n_frames) → float32 (2 n, n_frames): the n strongest peaks, strongest first.

    Their frequencies as a fraction of the highest, from the parabola through the peak's and its neighbors' decibels
    (Smith and Serra 1987, section 5), then their shares of the frame's power. Peaks that are not there have 0, 0.
    """
    import torch

    middle = power[1:-1]
    is_peak = (middle > power[:-2]) & (middle >= power[2:])
    height, place = torch.where(is_peak, middle, 0).topk(n, dim=0)
    left, center, right = (power.gather(0, place + step).clamp(min=SMALLEST).log() for step in range(3))
    bend = left - 2 * center + right
    shift = 0.5 * (left - right) / torch.where(bend < 0, bend, 1)  # in bins, from -0.5 to 0.5
    frequency = (place + 1 + shift) / (len(power) - 1)
    there = height > SMALLEST
    share = height / power.sum(dim=0).clamp(min=SMALLEST)
    return torch.cat([torch.where(there, frequency, 0), torch.where(there, share, 0)])


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
