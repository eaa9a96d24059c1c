"""Sounds → vectors of a small network on log-mel spectrograms, which learns from the catalog's own sounds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fuserec.device import check_device, one_thread, seeded
from fuserec.encoders.audio import SoundEncoder
from fuserec.encoders.spectra import RATE, SMALLEST, mel_spectrograms
from fuserec.errors import MediaError, NotFittedError, OptionError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

N_FFT, HOP = 1024, 320  # samples: windows of 64 ms, every 20 ms
CHANNELS = (16, 32, 64)  # of the first convolutions; the last one has `dim`
HEAD = 64  # numbers that are compared in training
KEPT = 5  # crops' lengths of every sound that are kept for training
ROWS = 64  # windows computed at a time
GAIN = 6.0  # dB, louder or softer at most
SNR = (5.0, 40.0)  # dB
MASK = 1 / 8  # of the bands and of the frames are blanked at most


@dataclass(kw_only=True, eq=False)
class LogMelCNN(SoundEncoder):
    """Sounds → float32 (b, dim): what a small convolutional network tells apart in this catalog. Nothing to download.

    Four convolutions of 3 x 3, each halving time and frequency, on the log-mel spectrogram; the sum of mean and maximum
    over time (Kong et al. 2020, PANNs); a linear layer. A long sound is the mean over its windows of `seconds`; a short
    one is repeated.
    Trained on pairs of windows of the same sound, changed at random (`_view`), which have to find each other among
    those of all sounds of the batch: InfoNCE (van den Oord et al. 2018, eq. 4; with a head that is thrown away
    afterwards, as in SimCLR, Chen et al. 2020; on sounds COLA, Saeed et al. 2021).
    With fewer than two sounds to learn from, the network stays as it was drawn. Vectors are not of unit length.
    """

    dim: int = 128
    n_mels: int = 64
    seconds: float = 1.0  # of a window
    epochs: int = 30  # times that every sound is seen
    batch: int = 64  # sounds that a window is told apart from
    temperature: float = 0.2  # of the similarities
    rate: float = 2e-3  # of learning, falling to zero
    max_sounds: int = 1_000  # learned from, chosen by `seed`
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.dim, self.epochs, self.temperature, self.rate) <= 0 or self.n_mels < 16 or self.seconds < 0.5:
            raise OptionError(
                f"dim = {self.dim}, epochs = {self.epochs}, temperature = {self.temperature}, rate = {self.rate}, "
                f"n_mels = {self.n_mels}, seconds = {self.seconds}; expected n_mels >= 16, seconds >= 0.5 and the "
                "others above 0"
            )
        if min(self.batch, self.max_sounds) < 2:
            raise OptionError(
                f"batch = {self.batch}, max_sounds = {self.max_sounds}; expected 2 or more: sounds are told apart"
            )
        self.weights_: dict[str, NDArray[Any]] = {}
        self._network: Module | None = None

    def fit(self, values: Sequence[NDArray[np.float32]]) -> Self:
        """Learn from sounds, each mono float32 (n_samples,) at 16 kHz; those that cannot be decoded are passed over."""
        import torch

        check_device(self.device)
        rng = np.random.default_rng(self.seed)
        sounds = self._excerpts(values, rng)
        with seeded(self.seed), one_thread:
            network = _network(self.n_mels, self.dim).to(self.device)
            head = torch.nn.Sequential(
                torch.nn.Linear(self.dim, self.dim), torch.nn.ReLU(), torch.nn.Linear(self.dim, HEAD)
            ).to(self.device)
            if len(sounds) > 1:
                self._train(network, head, sounds, rng)
        self.weights_ = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
        self._network = None
        return self

    def state(self) -> str:
        """SHA-256 of the weights; empty before `fit`."""
        digest = hashlib.sha256()
        for name, weights in sorted(self.weights_.items()):
            digest.update(name.encode() + weights.tobytes())
        return digest.hexdigest() if self.weights_ else ""

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at 16 kHz → float32 (b, dim). Raises `NotFittedError` before `fit`."""
        import torch

        windows = [self._windows(samples) for samples in batch]
        owners = np.repeat(np.arange(len(batch)), [len(some) for some in windows])
        rows = np.concatenate(windows)
        sums = np.zeros((len(batch), self.dim), dtype=np.float32)
        network = self._ready()
        with torch.inference_mode(), one_thread:
            for start in range(0, len(rows), ROWS):
                some = torch.from_numpy(rows[start : start + ROWS]).to(self.device)
                np.add.at(sums, owners[start : start + ROWS], network(log_mel(some, self.n_mels)).cpu().numpy())
        vectors: NDArray[np.float32] = sums / np.bincount(owners).astype(np.float32)[:, None]
        return vectors

    @property
    def _length(self) -> int:
        return int(self.seconds * RATE)  # samples of a window

    def _windows(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mono float32 (n_samples,) → windows that cover it evenly, float32 (n, length)."""
        if samples.size < self._length:
            samples = np.resize(samples, self._length)  # repeated
        starts = np.linspace(0, samples.size - self._length, -(-samples.size // self._length)).astype(int)
        return np.stack([samples[start : start + self._length] for start in starts])

    def _excerpts(self, values: Sequence[NDArray[np.float32]], rng: np.random.Generator) -> list[NDArray[np.float32]]:
        sounds = []
        for index in rng.permutation(len(values)):
            try:
                samples = values[index]
            except MediaError:
                continue  # a file that cannot be decoded is told of when it is to be encoded
            sounds.append(self._crop(samples, rng, KEPT).copy())
            if len(sounds) == self.max_sounds:
                break
        return sounds

    def _crop(self, samples: NDArray[np.float32], rng: np.random.Generator, windows: int = 1) -> NDArray[np.float32]:
        """Mono float32 (n_samples,) → that many windows' length of it, from anywhere; a shorter sound is all taken."""
        if samples.size < self._length:
            samples = np.resize(samples, self._length)  # repeated
        start = rng.integers(max(0, samples.size - windows * self._length) + 1)
        return samples[start : start + windows * self._length]

    def _train(self, network: "Module", head: "Module", sounds: list[NDArray[np.float32]], rng: Any) -> None:
        import torch

        parameters = [*network.parameters(), *head.parameters()]
        steps = self.epochs * -(-len(sounds) // self.batch)
        optimizer = torch.optim.AdamW(parameters, lr=self.rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(self.epochs):
            shuffled = rng.permutation(len(sounds))
            for chosen in np.array_split(shuffled, -(-len(sounds) // self.batch)):  # of the same length: none is alone
                crops = np.stack([self._crop(sounds[row], rng) for row in np.repeat(chosen, 2)])
                views = _view(torch.from_numpy(crops).to(self.device), self.n_mels)  # (2 b, n_mels, frames)
                loss = info_nce(head(network(views)), self.temperature)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()

    def _ready(self) -> "Module":
        import torch

        if not self.weights_:
            raise NotFittedError("LogMelCNN learns from the catalog's sounds: call fit first")
        if self._network is None:
            with torch.device("meta"):  # no numbers are drawn
                network = _network(self.n_mels, self.dim)
            tensors = {name: torch.from_numpy(weights) for name, weights in self.weights_.items()}
            network.load_state_dict(tensors, assign=True)
            self._network = network.eval().to(self.device)
        return self._network


def _network(n_mels: int, dim: int) -> "Module":
    """Log-mel spectrograms (b, n_mels, frames) → (b, dim)."""
    from torch import nn

    class PoolTime(nn.Module):
        def forward(self, maps: "Tensor") -> "Tensor":
            return maps.mean(dim=3) + maps.amax(dim=3)

    widths = (1, *CHANNELS, dim)
    layers = [
        nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        for before, after in pairwise(widths)
    ]
    bands = -(-n_mels // 2 ** len(layers))  # that are left of the spectrogram
    standardize = nn.Sequential(nn.BatchNorm1d(n_mels), nn.Unflatten(1, (1, n_mels)))
    return nn.Sequential(standardize, *layers, PoolTime(), nn.Flatten(), nn.Linear(bands * dim, dim))


def log_mel(samples: "Tensor", n_mels: int) -> "Tensor":
    """Sounds of one length, mono float32 (b, n_samples) at 16 kHz → power in mel bands in dB, (b, n_mels, frames)."""
    return 10 * mel_spectrograms(samples, n_fft=N_FFT, hop=HOP, n_mels=n_mels).clamp(min=SMALLEST).log10()


def _view(samples: "Tensor", n_mels: int) -> "Tensor":
    """Windows float32 (b, n_samples) → changed spectrograms (b, n_mels, frames), each in its own way.

    Noise at a signal-to-noise ratio within `SNR`, gain up to `GAIN`, then one mask over bands and one over frames
    (SpecAugment, Park et al. 2019), of the mean.
    """
    import torch

    drawn = torch.rand((6, len(samples), 1), device=samples.device)
    snr = SNR[0] + (SNR[1] - SNR[0]) * drawn[0]
    noise = torch.randn_like(samples) * samples.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-snr / 20)
    spectra = log_mel((samples + noise) * 10 ** ((2 * drawn[1] - 1) * GAIN / 20), n_mels)
    bands, frames = (torch.arange(size, device=samples.device) for size in spectra.shape[1:])
    hidden = _mask(bands, drawn[2], drawn[3])[:, :, None] | _mask(frames, drawn[4], drawn[5])[:, None, :]
    return torch.where(hidden, spectra.mean(dim=(1, 2), keepdim=True), spectra)


def _mask(places: "Tensor", start: "Tensor", width: "Tensor") -> "Tensor":
    """Places 0 to n - 1 and two numbers in [0, 1] for each row, (b, 1) → which are hidden, bool (b, n)."""
    size = len(places)
    width = (width * MASK * size).round()
    first = (start * (size - width)).floor()
    return (places >= first) & (places < first + width)


def info_nce(vectors: "Tensor", temperature: float) -> "Tensor":
    """Vectors (2 b, dim), two views of each thing after the other → the loss, a scalar (Chen et al. 2020, eq. 1).

    The mean over all views of -log of the share that the other view of the same thing has among all other views, where
    views count by exp(cosine / temperature).
    """
    import torch

    unit = torch.nn.functional.normalize(vectors, dim=1)
    rows = torch.arange(len(unit), device=unit.device)
    similarity = (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)
    return torch.nn.functional.cross_entropy(similarity, rows ^ 1)
