"""Sounds → vectors of any sound model that transformers knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.media import Limits, read_audio
from fuserec.encoders.hub import SAFELY, HubModel, has_one_space, once_of, reading
from fuserec.encoders.windows import cut, masked_mean, mean_of_rows, unit

SHORTEST = 0.1  # seconds; below, the first layers of wav2vec 2.0 have nothing to compute


@dataclass(kw_only=True, eq=False)
class TransformersAudio(HubModel):
    """Sounds → float32 (b, dim): CLAP, wav2vec 2.0, HuBERT, Whisper's encoder and the like, by folder or hub id.

    The mean over the last hidden state; of CLAP the projected sound vector, of unit length. A long sound is cut into
    windows of almost the same length, whose vectors are averaged; a very short one is followed by silence.
    Raises `DataError` for a model that comes with code of its own, as MERT does.
    """

    modality: ClassVar[str] = "audio"
    batch_size: ClassVar[int] = 4

    seconds: float = 30.0  # of a window, at most; less where the model takes less (CLAP: 10)

    @property
    def rate(self) -> int:
        """Samples a second that the model wants, in Hz."""
        return int(self._extractor().sampling_rate)

    def decode(self, value: Path, limits: Limits) -> NDArray[np.float32]:
        """Sound file → mono float32 (n_samples,) at the model's rate. Raises `MediaError`."""
        return read_audio(value, limits, self.rate)

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at `rate` → float32 (b, dim)."""
        import torch

        folder = self.folder()
        network, extractor = self.load(folder).network, self._extractor()
        longest = int(self._longest(extractor) * extractor.sampling_rate)
        shortest = int(SHORTEST * extractor.sampling_rate)
        sounds = [np.pad(sound, (0, max(0, shortest - len(sound)))) for sound in batch]
        windows = [cut(sound, longest) for sound in sounds]
        features = [self._features(extractor, window) for own in windows for window in own]

        def encode(inputs: dict[str, Any]) -> Any:
            n_samples = inputs.pop("n_samples")
            if hasattr(network, "get_audio_features"):
                return network.get_audio_features(**inputs).pooler_output
            states = network(**inputs).last_hidden_state  # (n_windows, n_frames, dim)
            padded = getattr(extractor, "n_samples", None)  # Whisper's: silence fills every window up to this
            if padded is None:
                return states.mean(dim=1)
            n_frames = (n_samples * states.shape[1] / padded).ceil().clamp(min=1)
            return masked_mean(states, torch.arange(states.shape[1], device=self.device) < n_frames[:, None])

        vectors = self.run(features, encode)
        means = mean_of_rows(vectors, [len(own) for own in windows])
        return unit(means) if has_one_space(folder) else means

    def _longest(self, extractor: Any) -> float:
        takes: list[float | None] = [
            getattr(extractor, name, None) for name in ("chunk_length", "max_length_s")
        ]  # Whisper's, CLAP's
        if hasattr(extractor, "num_mel_bins"):  # the Audio Spectrogram Transformer's, in frames of 0.01 s
            takes.append(0.01 * getattr(extractor, "max_length", 1024))
        return min([self.seconds, *(seconds for seconds in takes if seconds is not None)])

    def _features(self, extractor: Any, window: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        made = extractor(window, sampling_rate=extractor.sampling_rate, return_tensors="np")
        parts = {key: np.asarray(part)[0] for key, part in made.items()}
        return {**parts, "n_samples": np.asarray(len(window))}

    def _extractor(self) -> Any:
        folder = self.folder()
        return once_of(self, "sounds", lambda: _extractor(folder))


def _extractor(folder: Path) -> Any:
    from transformers import AutoFeatureExtractor

    with reading(folder):
        return AutoFeatureExtractor.from_pretrained(folder, **SAFELY)
