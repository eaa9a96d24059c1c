"""One model for several columns: texts, pictures and sounds as vectors of one space.

`shared_space` makes the encoders, one a modality; that they share a space is said by their `space()`. Models of
transformers (CLIP, SigLIP 2, CLAP) are computed by the hub's encoders, those of sentence-transformers by that package.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fuserec.data.media import Limits, read_audio, read_image
from fuserec.device import check_device
from fuserec.encoders.hub import HubModel, has_one_space, once_of, read_json, reading
from fuserec.encoders.hub_audio import TransformersAudio
from fuserec.encoders.hub_image import TransformersImage
from fuserec.encoders.hub_text import TransformersText
from fuserec.encoders.windows import cut, mean_of_rows, unit
from fuserec.errors import DataError, MissingExtraError


def shared_space(model: str, **options: Any) -> dict[str, HubModel]:
    """A model's folder or hub id → modality → encoder, all of one space; for `encode`, or column by column.

    options: of every encoder: precision, device, allow_download.
    Raises `DataError` for a model of one modality.
    """
    folder = TransformersText(model=model, **options).folder()
    if (folder / "modules.json").is_file():
        supported = SharedText(model=model, **options).modalities()
        kinds: list[type[HubModel]] = [
            kind for kind in (SharedText, SharedImage, SharedAudio) if kind.modality in supported
        ]
    else:
        sees = "vision_config" in read_json(folder / "config.json")
        kinds = [TransformersText, TransformersImage if sees else TransformersAudio] if has_one_space(folder) else []
    if len(kinds) < 2:
        raise DataError(f"{folder}: this model embeds one modality only; expected one such as CLIP, SigLIP 2 or CLAP")
    return {kind.modality: kind(model=model, **options) for kind in kinds}


@dataclass(kw_only=True, eq=False)
class _Shared(HubModel):
    """What the encoders below share: a multimodal model of sentence-transformers.

    Raises, beside what every `HubModel` raises, `MissingExtraError` without sentence-transformers, and `DataError` for
    a model that does not embed this modality.
    """

    batch_size: ClassVar[int] = 8

    def modalities(self) -> set[str]:
        """What the model embeds, of text, image, audio and video."""
        return {kind for kind in ("text", "image", "audio", "video") if self._sentence().supports(kind)}

    def _sentence(self) -> Any:
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(
                f"{type(self).__name__} needs the package sentence-transformers, which is not installed: "
                'pip install "fuserec[multimodal]"'
            )
        folder = self.folder()
        return once_of(self, "sentence", lambda: self._read(folder))

    def _read(self, folder: Path) -> Any:
        from sentence_transformers import SentenceTransformer

        check_device(self.device)
        with reading(folder):
            model = SentenceTransformer(
                str(folder),
                local_files_only=True,
                device="cpu",
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
        return self._in_precision(model).eval().to(self.device)

    def _embed(self, windows: list[list[Any]]) -> NDArray[np.float32]:
        """Windows of each of b values, as sentence-transformers takes them → float32 (b, dim) of unit length."""
        model = self._sentence()
        if not model.supports(self.modality):
            raise DataError(
                f"model = {self.model!r} embeds {', '.join(sorted(self.modalities()))}, not {self.modality}"
            )
        flat = [window for own in windows for window in own]
        with _encoding:
            vectors = model.encode(flat, batch_size=self.batch_size, show_progress_bar=False).astype(np.float32)
        return unit(mean_of_rows(unit(vectors), [len(own) for own in windows]))


_encoding = Lock()  # its tokenizers are not safe between threads


@dataclass(kw_only=True, eq=False)
class SharedText(_Shared):
    """Texts → float32 (b, dim) of unit length in the space of a multimodal model of sentence-transformers.

    A text longer than the model takes is cut into windows of almost the same length, whose vectors are averaged.
    """

    modality: ClassVar[str] = "text"

    def encode_batch(self, batch: list[str]) -> NDArray[np.float32]:
        """Texts (b of them) → float32 (b, dim), each of unit length."""
        return self._embed([self._windows(text) for text in batch])

    def _windows(self, text: str) -> list[str]:
        model = self._sentence()
        with _encoding:
            told = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ends = [end for _, end in told["offset_mapping"]]
        room = (model.max_seq_length or len(ends) + 8) - 8  # for the model's own marks
        breaks = [0, *(int(part[-1]) for part in cut(ends, room) if len(part))]
        breaks[-1] = len(text)
        return [text[start:end] for start, end in zip(breaks, breaks[1:], strict=False)] or [text]


@dataclass(kw_only=True, eq=False)
class SharedImage(_Shared):
    """Pictures → float32 (b, dim) of unit length in the space of a multimodal model of sentence-transformers."""

    modality: ClassVar[str] = "image"
    batch_size: ClassVar[int] = 4  # pictures wait in their full size

    def decode(self, value: Path, limits: Limits) -> NDArray[np.uint8]:
        """Picture file → RGB uint8 (height, width, 3). Raises `MediaError`."""
        return read_image(value, limits)

    def encode_batch(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pictures, each RGB uint8 (height, width, 3) → float32 (b, dim), each of unit length."""
        return self._embed([[Image.fromarray(picture)] for picture in batch])


@dataclass(kw_only=True, eq=False)
class SharedAudio(_Shared):
    """Sounds → float32 (b, dim) of unit length in the space of a multimodal model of sentence-transformers.

    A long sound is cut into windows of almost the same length, whose vectors are averaged.
    """

    modality: ClassVar[str] = "audio"
    batch_size: ClassVar[int] = 4

    seconds: float = 30.0  # of a window, at most

    @property
    def rate(self) -> int:
        """Samples a second that the model wants, in Hz."""
        processor = self._sentence()[0].processor
        return int(getattr(processor, "feature_extractor", processor).sampling_rate)

    def decode(self, value: Path, limits: Limits) -> NDArray[np.float32]:
        """Sound file → mono float32 (n_samples,) at the model's rate. Raises `MediaError`."""
        return read_audio(value, limits, self.rate)

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at `rate` → float32 (b, dim), each of unit length."""
        rate = self.rate
        windows = [cut(sound, int(self.seconds * rate)) for sound in batch]
        return self._embed([[{"array": window, "sampling_rate": rate} for window in own] for own in windows])
