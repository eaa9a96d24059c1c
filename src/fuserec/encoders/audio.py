"""Sounds → vectors of timbre, movement, spectrum, pitch and resonances: formulas only, nothing to download."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.media import Limits, read_audio
from fuserec.device import check_device, one_thread
from fuserec.encoders.encoder import Encoder
from fuserec.encoders.formants import TOP, formants
from fuserec.encoders.image import same_length
from fuserec.encoders.spectra import RATE, TOP_DB, Line, chroma, contrast, features, mfcc, peaks, slopes
from fuserec.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True, eq=False)
class SoundEncoder(Encoder):
    """What the encoders of sounds share: 16 kHz mono in, and a device, which is no part of the identity."""

    modality: ClassVar[str] = "audio"
    batch_size: ClassVar[int] = 8  # decoded sounds can be large

    device: str = "cpu"  # where torch computes; vectors differ by less than 1e-3 between devices

    def decode(self, value: Path, limits: Limits) -> NDArray[np.float32]:
        """Sound file, or video file with sound → mono float32 (n_samples,) at 16 kHz. Raises `MediaError`."""
        return read_audio(value, limits, RATE)


@dataclass(kw_only=True, eq=False)
class MFCC(SoundEncoder):
    """Sounds → float32 (b, 2 (n_mfcc - 1) + n_mfcc + 14), 90 by default: three blocks of the same length.

    timbre: the mean over time of the mel-frequency cepstral coefficients 1 to n_mfcc - 1 (`mfcc`);
    movement: their standard deviation over time and, with `deltas`, that of the slopes of all coefficients (`slopes`);
    spectrum: mean and standard deviation over time of loudness (in units of 80 dB) and of the rows of `spectral`.
    Coefficient 0 is the loudness, so the timbre of a clip does not change with the volume.
    Files of any length, rate and number of channels become 16 kHz mono; vectors have at most unit length.
    """

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

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at 16 kHz → float32 (b, dim)."""
        import torch

        check_device(self.device)
        with torch.inference_mode(), one_thread:
            sounds = [torch.from_numpy(samples).to(self.device) for samples in batch]
            return np.stack([same_length(blocks) for blocks in self._blocks(sounds)])

    def _blocks(self, sounds: "list[Tensor]") -> list[list[NDArray[np.float32]]]:
        told = features(sounds, n_fft=self.n_fft, hop=self.hop, n_mels=self.n_mels)
        return [self._timbre_movement_spectrum(mel, spectrum) for mel, spectrum in told]

    def _timbre_movement_spectrum(self, mel: "Tensor", spectrum: "Tensor") -> list[NDArray[np.float32]]:
        import torch

        coefficients = mfcc(mel, self.n_mfcc)  # (n_mfcc, n_frames)
        loudness = coefficients[:1] / (self.n_mels**0.5 * TOP_DB)  # the mean of the mel bands in dB, over 80 dB
        rows = [coefficients[1:], loudness, spectrum, *([slopes(coefficients)] if self.deltas else [])]
        mean, spread = _over_time(torch.cat(rows))
        timbre, told = slice(self.n_mfcc - 1), slice(self.n_mfcc - 1, self.n_mfcc + 6)
        movement = np.delete(spread, told)  # of the coefficients and of their slopes
        return [mean[timbre], movement, np.concatenate([mean[told], spread[told]])]


@dataclass(kw_only=True, eq=False)
class SpectralSound(MFCC):
    """Sounds → float32 (b, dim of MFCC + 46 + 4 n_peaks), 156 by default: seven blocks of the same length.

    Those of `MFCC`, then, each as mean and standard deviation over time: `contrast` (12 numbers, in units of 80 dB),
    `chroma` (24), `peaks` (4 n_peaks); and `formants` (10): the share of voiced frames, and over these the mean of
    F1-F3 and of their bandwidths and the standard deviation of F1-F3, in units of 5 kHz.
    """

    n_peaks: int = 5  # of the spectrum, the strongest ones

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_peaks < self.n_fft // 4:
            raise OptionError(f"n_peaks = {self.n_peaks}, n_fft = {self.n_fft}; expected 1 <= n_peaks < n_fft / 4")

    def _blocks(self, sounds: "list[Tensor]") -> list[list[NDArray[np.float32]]]:
        import torch

        line = Line(sounds, n_fft=self.n_fft, hop=self.hop)
        rows = torch.cat([self._rows(power) for power in line.power()], dim=1)
        return [
            [*blocks, *self._contrast_chroma_peaks_formants(told)]
            for blocks, told in zip(super()._blocks(sounds), line.by_sound(rows), strict=True)
        ]

    def _rows(self, power: "Tensor") -> "Tensor":
        import torch

        return torch.cat([contrast(power) / TOP_DB, chroma(power), peaks(power, self.n_peaks), formants(power)])

    def _contrast_chroma_peaks_formants(self, rows: "Tensor") -> list[NDArray[np.float32]]:
        told = _over_time(rows[:-7])
        return [told[:, :6].ravel(), told[:, 6:18].ravel(), told[:, 18:].ravel(), _of_voiced(rows[-7:].cpu().numpy())]


def _over_time(rows: "Tensor") -> NDArray[np.float32]:
    """Float32 (n, n_frames) → mean and standard deviation of each row: float32 (2, n)."""
    import torch

    mean = rows.mean(dim=1)
    spread = (rows - mean[:, None]).square().mean(dim=1).sqrt()
    return np.asarray(torch.stack([mean, spread]).cpu().numpy())


def _of_voiced(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`formants` of all frames, float32 (7, n_frames) → float32 (10,): see `SpectralSound`; 0 where none is voiced."""
    voiced = rows[1:, rows[0] > 0] / TOP  # (6, n_voiced)
    if not voiced.size:
        return np.zeros(10, np.float32)
    return np.concatenate([[rows[0].mean()], voiced.mean(axis=1), voiced[:3].std(axis=1)]).astype(np.float32)
