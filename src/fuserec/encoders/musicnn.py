"""Music → vectors and tags of musicnn, whose weights come inside the package of that name; TensorFlow is not needed."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.media import Limits, read_audio
from fuserec.device import one_thread
from fuserec.encoders.checkpoint import read_checkpoint
from fuserec.encoders.pretrained import _check_sha256, _Pretrained
from fuserec.encoders.spectra import RATE, mel_spectrograms
from fuserec.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from torch import Tensor

N_FFT, HOP, BANDS = 512, 256, 96  # samples, samples, mel bands
FRAMES = 187  # 3 s, what the networks were trained on
EPSILON = 1e-3  # TensorFlow's, in the normalization of batches
MTT_TAGS = (
    "guitar, classical, slow, techno, strings, drums, electronic, rock, fast, piano, ambient, beat, violin, vocal, "
    "synth, female, indian, opera, male, singing, vocals, no vocals, harpsichord, loud, quiet, flute, woman, "
    "male vocal, no vocal, pop, soft, sitar, solo, man, classic, choir, voice, new age, dance, male voice, "
    "female vocal, beats, harp, cello, no voice, weird, country, metal, female voice, choral"
)
MSD_TAGS = (
    "rock, pop, alternative, indie, electronic, female vocalists, dance, 00s, alternative rock, jazz, beautiful, "
    "metal, chillout, male vocalists, classic rock, soul, indie rock, Mellow, electronica, 80s, folk, 90s, chill, "
    "instrumental, punk, oldies, blues, hard rock, ambient, acoustic, experimental, female vocalist, guitar, Hip-Hop, "
    "70s, party, country, easy listening, sexy, catchy, funk, electro, heavy metal, Progressive rock, 60s, rnb, "
    "indie pop, sad, House, happy"
)


@dataclass(kw_only=True, eq=False)
class Musicnn(_Pretrained):
    """Music → float32 (b, 200), or (b, 753) with `pooled`: a network for tags of MagnaTagATune (Pons and Serra 2019).

    The layer before the tags, or what is pooled over time, by its mean, before that: 204 + 204 timbral and 3 x 51
    temporal filters, and three layers of 64. The mean over windows of 3 s, spread evenly, `windows` of them at most;
    a shorter sound is repeated. Subtract the mean over the catalog before comparing (`Embeddings.centered_unit`).
    Raises `MissingExtraError` without the package musicnn, `DataError` where the weights are not the known ones.
    """

    modality: ClassVar[str] = "audio"
    batch_size: ClassVar[int] = 1  # larger ones are no faster on a CPU
    packages: ClassVar[tuple[str, ...]] = ("musicnn",)
    weights: ClassVar[str] = "MTT_musicnn/.data-00000-of-00001"
    sha256: ClassVar[str] = "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab"
    index_sha256: ClassVar[str] = "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57"
    tag_names: ClassVar[tuple[str, ...]] = tuple(MTT_TAGS.split(", "))

    pooled: bool = False  # 753 numbers of all layers rather than 200 of the last
    windows: int = 10  # at most, so half a minute; more are slower and say little more

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise OptionError(f"windows = {self.windows}; expected 1 or more")

    def decode(self, value: Path, limits: Limits) -> NDArray[np.float32]:
        """Sound file, or video file with sound → mono float32 (n_samples,) at 16 kHz. Raises `MediaError`."""
        return read_audio(value, limits, RATE)

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at 16 kHz → float32 (b, 200) or (b, 753)."""
        return np.stack([self._layers(samples)[0 if self.pooled else 1] for samples in batch])

    def tags(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at 16 kHz → the probabilities of `tag_names`: float32 (b, 50)."""
        return np.stack([self._layers(samples)[2] for samples in batch])

    def _layers(self, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        import torch

        network = self._network()
        with torch.inference_mode(), one_thread:
            spectra = self._spectra(torch.from_numpy(samples).to(self.device))
            return [layer.mean(dim=0).cpu().numpy() for layer in network(spectra)]

    def _spectra(self, samples: "Tensor") -> "Tensor":
        """Mono float32 (n_samples,) → what the network takes: log10(1 + 10,000 mel), (windows, frames, bands)."""
        import torch

        wanted = FRAMES * HOP
        n_windows = min(self.windows, -(-len(samples) // wanted))
        starts = np.linspace(0, max(0, len(samples) - wanted), n_windows).astype(int)
        cut = torch.stack([samples[start : start + wanted] for start in starts])
        mel = mel_spectrograms(cut, n_fft=N_FFT, hop=HOP, n_mels=BANDS).transpose(1, 2)
        frames = torch.arange(FRAMES, device=samples.device) % mel.shape[1]  # repeated where there are fewer
        return (1 + 10_000 * mel[:, frames]).log10()

    def _load(self, path: Path) -> Any:
        import torch

        index = path.with_name(".index")
        _check_sha256(index, self.index_sha256)
        read = read_checkpoint(index, path)
        return _Network({name: torch.from_numpy(value).to(self.device) for name, value in read.items()})

    def _weights_path(self) -> Path:
        if find_spec("musicnn") is None:
            raise MissingExtraError(
                f"{type(self).__name__} needs the package musicnn, which is not installed: "
                "pip install --no-deps musicnn==0.1.0 (it asks for an old TensorFlow that is not needed)"
            )
        return super()._weights_path()


@dataclass(kw_only=True, eq=False)
class MusicnnMSD(Musicnn):
    """Music → float32 (b, 200) or (b, 753): as `Musicnn`, trained on the tags of the Million Song Dataset (genres)."""

    weights: ClassVar[str] = "MSD_musicnn/.data-00000-of-00001"
    sha256: ClassVar[str] = "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"
    index_sha256: ClassVar[str] = "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8"
    tag_names: ClassVar[tuple[str, ...]] = tuple(MSD_TAGS.split(", "))


class _Network:
    """Spectra (b, frames, bands) → pooled (b, 753), last layer (b, 200), probabilities (b, 50), from the variables.

    Convolutions and normalizations are numbered in the order in which they come: 2 timbral ones, which see 0.4 and 0.7
    of the bands; 3 temporal ones, which see 128, 64 and 32 frames of one band; 3 that see all features of 7 frames, the
    last two with a way around them.
    """

    def __init__(self, variables: "dict[str, Tensor]") -> None:
        self._variables = variables

    def __call__(self, spectra: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
        import torch
        from torch.nn.functional import pad

        x = self._normalize(spectra[:, None], 0)  # (b, 1, frames, bands)
        padded = pad(x, (0, 0, 3, 3))
        front = [self._convolve(padded, number).amax(dim=3) for number in (0, 1)]
        for number, width in ((2, 128), (3, 64), (4, 32)):
            padded = pad(x, (0, 0, (width - 1) // 2, width // 2))
            front.append(self._convolve(padded, number).amax(dim=3))
        layers = [torch.cat(front, dim=1)]  # (b, 561, frames)
        for number in (5, 6, 7):
            rows = pad(layers[-1], (3, 3)).transpose(1, 2)[:, None]  # (b, 1, 6 + frames, features)
            made = self._convolve(rows, number)[..., 0]  # (b, 64, frames)
            layers.append(made if number == 5 else made + layers[-1])
        features = torch.cat(layers, dim=1)  # (b, 753, frames)
        mean = features.mean(dim=2)
        both = torch.stack([features.amax(dim=2), mean], dim=2).flatten(1)  # (b, 1506)
        last = self._normalize(self._dense(self._normalize(both, 9), "dense").relu(), 10)
        return mean, last, self._dense(last, "dense_1").sigmoid()

    def _convolve(self, x: "Tensor", number: int) -> "Tensor":
        from torch.nn.functional import conv2d

        name = f"conv2d_{number}" if number else "conv2d"
        kernel = self._variables[f"{name}/kernel"].permute(3, 2, 0, 1)  # (filters, 1, frames, bands)
        return self._normalize(conv2d(x, kernel, self._variables[f"{name}/bias"]).relu(), number + 1)

    def _normalize(self, x: "Tensor", number: int) -> "Tensor":
        from torch.nn.functional import batch_norm

        name = f"batch_normalization_{number}" if number else "batch_normalization"
        mean, variance, gamma, beta = (
            self._variables[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return batch_norm(x, mean, variance, gamma, beta, eps=EPSILON)

    def _dense(self, x: "Tensor", name: str) -> "Tensor":
        return x @ self._variables[f"{name}/kernel"] + self._variables[f"{name}/bias"]
