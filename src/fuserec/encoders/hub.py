"""Models of transformers from a local folder or the Hugging Face hub: found, identified and loaded.

Nothing is downloaded without `allow_download`; only safetensors are read, never pickle; code that comes with a model is
never run. The encoders are in `hub_text.py`, `hub_image.py` and `hub_audio.py`.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fuserec.device import check_device, one_thread
from fuserec.encoders.encoder import Encoder
from fuserec.encoders.weights import once, quiet_transformers, sha256
from fuserec.errors import DataError, MissingExtraError, OptionError

FILES = ("*.json", "*.safetensors", "*.txt", "*.model")  # weights, configurations, vocabularies: all that is used


class Loaded(NamedTuple):
    """A network, and whether its pooler holds trained weights: one that a folder lacks is random and must not speak."""

    network: Any
    pooler: bool


@dataclass(kw_only=True, eq=False)
class HubModel(Encoder):
    """What the encoders of transformers' models share: options, identity, loading.

    Raises `DataError` where the model is not there, is not readable, or lacks weights; `OptionError` for a precision or
    a device that cannot be had; `MissingExtraError` without transformers.
    """

    SAME_VECTORS: ClassVar[tuple[str, ...]] = ("model", "device", "allow_download")  # the model's files stand for it

    model: str  # a local folder, or the id of a model on the hub, such as "openai/clip-vit-base-patch32"
    precision: Literal["float32", "float16", "bfloat16", "int8"] = "float32"  # of the weights; int8: linear layers, CPU
    device: str = "cpu"  # where torch computes; vectors differ by less than 1e-3 between devices
    allow_download: bool = False  # fetch the model from the hub where it is not in the local cache

    def state(self) -> str:
        """The exact model: SHA-256 over the files of a local folder, or the hub's id with the commit."""
        folder = self.folder()
        return f"sha256:{_digest(folder)}" if Path(self.model).is_dir() else f"{self.model}@{folder.name}"

    def space(self) -> str:
        """The same for the encoders of one model, whose vectors of texts, pictures and sounds may be compared."""
        return self.state()

    def folder(self) -> Path:
        """The local folder of the model, after a download where that is needed and allowed."""
        folder = Path(self.model)
        if not folder.is_dir():
            folder = once(("folder", self.model), lambda: self._snapshot(download=False) or self._missing())
        if not any(folder.rglob("*.safetensors")):
            raise DataError(
                f"{folder}: no *.safetensors in this folder; other weights are pickles, which can run code and are not "
                "read: choose a model with safetensors, or convert it by its own save_pretrained"
            )
        return folder

    def _missing(self) -> Path:
        found = self._snapshot(download=True) if self.allow_download else None
        if found is None:
            raise DataError(
                f"model = {self.model!r}: there is no such folder, and no such model in the local cache of the hub; "
                "give the folder of a model, or let it be downloaded: --allow-download, or allow_download=True"
            )
        return found

    def _snapshot(self, *, download: bool) -> Path | None:
        """The hub's local copy of the model, None where it is not there or has no weights yet."""
        require_transformers(type(self).__name__)
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(self.model, local_files_only=not download, allow_patterns=list(FILES)))
        except (LocalEntryNotFoundError, HFValidationError):
            return None
        except OSError as error:  # no network, no such model, or one that needs a login
            raise DataError(f"model = {self.model!r} cannot be downloaded ({first_line(error)})") from error
        return folder if download or any(folder.rglob("*.safetensors")) else None

    def load(self, folder: Path) -> Loaded:
        """The folder of the network → the network on its device, in its precision; once a process."""
        require_transformers(type(self).__name__)
        check_device(self.device)
        loaded: Loaded = once_of(self, "network", lambda: self._load(folder))
        return loaded

    def _load(self, folder: Path) -> Loaded:
        import torch
        from transformers import AutoModel

        with reading(folder):
            network, told = AutoModel.from_pretrained(
                folder, **SAFELY, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        if getattr(network.config, "is_encoder_decoder", False):  # T5, Whisper: only the encoder is used
            network = network.get_encoder()
        lacking = {key for key in told["missing_keys"] if not key.startswith("decoder.") and "masked_spec" not in key}
        unusable = sorted(key for key in lacking if "pooler" not in key)
        if unusable:
            raise DataError(
                f"{folder}: weights are missing for {len(unusable)} parts of {type(network).__name__}, such as "
                f"{unusable[0]}; without them its vectors would be random: choose a complete model"
            )
        return Loaded(self._in_precision(network).eval().to(self.device), pooler=not lacking)

    def _in_precision(self, network: Any) -> Any:
        import torch

        if self.precision != "int8":
            return network.to(getattr(torch, self.precision))
        quantize: Any = getattr(torch.ao.quantization, "quantize_dynamic", None)  # its end is announced
        if quantize is None or self.device != "cpu":
            raise OptionError(
                f"precision = 'int8' needs device = 'cpu' and a torch with quantize_dynamic; found device = "
                f"{self.device!r}, torch {torch.__version__}; use 'float16' or 'bfloat16'"
            )
        with warnings.catch_warnings():  # torch announces a successor in another package
            warnings.simplefilter("ignore")
            return quantize(network, {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig})

    def tensors(self, features: list[dict[str, NDArray[Any]]]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Features of each of b values → the values' numbers and torch tensors of those that have the same shapes."""
        import torch

        alike: dict[Any, list[int]] = {}
        for index, one in enumerate(features):
            apart = index if self.precision == "int8" else 0  # it scales by batch: one at a time, whatever the company
            alike.setdefault((apart, *(part.shape for part in one.values())), []).append(index)
        for chosen in alike.values():
            parts = {key: torch.from_numpy(np.stack([features[i][key] for i in chosen])) for key in features[0]}
            half = getattr(torch, "float32" if self.precision == "int8" else self.precision)
            yield chosen, {k: (p.to(half) if p.is_floating_point() else p).to(self.device) for k, p in parts.items()}

    def run(
        self, features: list[dict[str, NDArray[Any]]], encode: Callable[[dict[str, Any]], Any]
    ) -> NDArray[np.float32]:
        """Features of each of b values and what computes a batch of tensors → vectors float32 (b, dim)."""
        import torch

        rows: list[Any] = [None] * len(features)
        with torch.inference_mode(), one_thread:
            for chosen, batch in self.tensors(features):
                made = encode(batch).float().cpu().numpy()
                for index, vector in zip(chosen, made, strict=True):
                    rows[index] = vector
        return np.stack(rows)


SAFELY = {"local_files_only": True, "trust_remote_code": False}  # how every part of a model is read


def once_of(encoder: HubModel, what: str, make: Callable[[], Any]) -> Any:
    """A part of an encoder's model → made once a process, shared by all encoders of the same model."""
    return once((encoder.state(), what, encoder.precision, encoder.device), make)


def require_transformers(encoder: str) -> None:
    """Raise `MissingExtraError` where transformers is not installed."""
    if find_spec("transformers") is None:
        raise MissingExtraError(
            f'{encoder} needs the package transformers, which is not installed: pip install "fuserec[pretrained]"'
        )


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """As a context: transformers reads a part of the model, silently; its errors become a `DataError`."""
    with quiet_transformers():
        try:
            yield
        except Exception as error:  # readers of damaged or unknown files raise errors of many packages
            if "trust_remote_code" in str(error):
                raise DataError(
                    f"{folder}: this model needs code that comes with it, which fuserec never runs; choose a model "
                    "that transformers knows by itself"
                ) from error
            raise DataError(f"{folder}: transformers cannot read this model ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """An error → the first line of its message."""
    return str(error).strip().partition("\n")[0]


def read_json(path: Path) -> Any:
    """JSON file → what it holds, an empty dict where there is no such file. Raises `DataError` for damaged ones."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error


def has_one_space(folder: Path) -> bool:
    """Whether the model embeds texts and pictures, or texts and sounds, into one space (CLIP, SigLIP, CLAP)."""
    config = read_json(folder / "config.json")
    return "text_config" in config and bool({"vision_config", "audio_config"} & config.keys())


def _digest(folder: Path) -> str:
    """A model's folder → SHA-256 over the names and contents of its files, those of its modules' folders included."""
    places = {folder, *(folder / module["path"] for module in read_json(folder / "modules.json"))}
    paths = sorted({path for place in places for pattern in FILES for path in place.glob(pattern)})
    return _digest_of(folder, tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@lru_cache
def _digest_of(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Sizes and times are there so that a file that was changed is read again."""
    told = [(path.relative_to(folder).as_posix(), sha256(path)) for path, _, _ in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
