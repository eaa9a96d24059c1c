"""Videos → vectors of what they show and what they let hear, by a picture encoder and a sound encoder."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fuserec import registry
from fuserec.data.embeddings import unit
from fuserec.data.media import Limits, read_frames
from fuserec.encoders.encoder import Encoder
from fuserec.errors import MediaError, OptionError

PICKS = ("key", "uniform")
SIDE = 384  # pixels of a frame for picture encoders that take any size
SECOND = 16_000  # samples of silence that stand in for a sound track, to learn how long its vector would be


class Video(NamedTuple):
    """A decoded video: frames RGB uint8 (n, side, side, 3), and what the sound encoder takes; None without sound."""

    frames: NDArray[np.uint8]
    sound: Any


@dataclass(kw_only=True, eq=False)
class VideoFrames(Encoder):
    """Videos → float32 (b, dim_image + dim_audio): a part for the frames and one for the sound, each of unit length.

    The frames' part is the mean of their unit vectors (average pooling over time, as Abu-El-Haija et al. 2016 do for
    YouTube-8M); with `spread`, their standard deviation stands behind it, dim_image numbers more.
    A video without a sound track, or with one that cannot be decoded, has zeros in the sound's part and is still
    usable: in a dot product with it, the frames alone count. (Centering on a catalog's mean undoes that.)
    Raises `OptionError` for an inner encoder of another modality, or one that has to be fitted.
    """

    modality: ClassVar[str] = "video"
    batch_size: ClassVar[int] = 4  # decoded sounds can be large

    frames: int = 8  # of a video, at most
    pick: str = "key"  # "key": of the key frames, fast; "uniform": of all frames, for short clips with one key frame
    spread: bool = False  # with the standard deviation over the frames
    image: str = "ColorTexture"  # the picture encoder's name
    image_options: dict[str, Any] = field(default_factory=dict)
    audio: str = "MFCC"  # the sound encoder's name, or "" to leave the sound out
    audio_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames < 1 or self.pick not in PICKS:
            raise OptionError(
                f"frames = {self.frames} and pick = {self.pick!r}; expected 1 frame or more and one of {PICKS}"
            )
        self._image = _inner("image", self.image, self.image_options)
        self._audio = _inner("audio", self.audio, self.audio_options) if self.audio else None

    def identity(self) -> str:
        """As of every encoder, where the inner encoders' own identities stand for their names and options."""
        described = json.loads(super().identity())
        for option, encoder in (("image", self._image), ("audio", self._audio)):
            del described["options"][f"{option}_options"]
            described["options"][option] = encoder and json.loads(encoder.identity())
        return json.dumps(described, sort_keys=True)

    def decode(self, value: Path, limits: Limits) -> Video:
        """Video file → frames and sound. Raises `MediaError` where no frame can be decoded."""
        side = getattr(self._image, "side", SIDE)
        frames = read_frames(value, limits, self.frames, side, key_frames=self.pick == "key")
        try:
            return Video(frames, self._audio and self._audio.decode(value, limits))
        except MediaError:  # no sound track, or one that is damaged: the frames are still worth something
            return Video(frames, None)

    def encode_batch(self, batch: list[Video]) -> NDArray[np.float32]:
        """Videos (b of them) → float32 (b, dim)."""
        vectors = unit(_encoded(self._image, [frame for video in batch for frame in video.frames]))
        ends = np.cumsum([len(video.frames) for video in batch])
        pooled = np.stack([self._pool(frames) for frames in np.split(vectors, ends[:-1])])
        return np.concatenate([unit(pooled), self._sounds(batch)], axis=1)

    def _pool(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = frames.mean(axis=0)  # frames (n, dim_image)
        return np.concatenate([mean, frames.std(axis=0)]) if self.spread else mean

    def _sounds(self, batch: list[Video]) -> NDArray[np.float32]:
        if self._audio is None:
            return np.zeros((len(batch), 0), dtype=np.float32)
        heard = [row for row, video in enumerate(batch) if video.sound is not None]
        sounds = [batch[row].sound for row in heard] or [np.zeros(SECOND, np.float32)]
        vectors = unit(_encoded(self._audio, sounds))
        parts = np.zeros((len(batch), vectors.shape[1]), dtype=np.float32)
        parts[heard] = vectors[: len(heard)]
        return parts


def _encoded(encoder: Encoder, values: list[Any]) -> NDArray[np.float32]:
    """Decoded values (n of them) → float32 (n, dim), in batches of the size that the encoder likes."""
    size = encoder.batch_size
    batches = [values[start : start + size] for start in range(0, len(values), size)]
    return np.concatenate([encoder.encode_batch(batch) for batch in batches])


def _inner(modality: str, name: str, options: dict[str, Any]) -> Encoder:
    encoder: Encoder = registry.make("encoder", name, options)
    if encoder.modality != modality:
        raise OptionError(f"{modality} = {name!r}: {name} encodes {encoder.modality}; name an encoder of {modality}")
    if type(encoder).fit is not Encoder.fit:
        raise OptionError(f"{modality} = {name!r}: {name} has to be fitted; name an encoder that learns nothing")
    return encoder
