"""Texts → vectors of any text model that transformers knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fuserec.device import one_thread
from fuserec.encoders.hub import SAFELY, HubModel, Loaded, has_one_space, once_of, read_json, reading
from fuserec.encoders.windows import cut_tokens, masked_mean, mean_of_windows, pad, unit
from fuserec.errors import DataError, OptionError

POOLINGS = {"mean": "mean", "cls": "cls", "lasttoken": "last"}  # sentence-transformers' names → ours


class Tokens(NamedTuple):
    """What cuts texts into token ids."""

    backend: Any  # of the package tokenizers, used directly: setting transformers' options is not safe between threads
    first: list[int]  # the marks that the model expects before a text
    last: list[int]  # and after it
    padding: int
    side: str  # where padding goes
    masks: bool  # whether the model is told which tokens are padding
    longest: int  # tokens, as the tokenizer's configuration says


@dataclass(kw_only=True, eq=False)
class TransformersText(HubModel):
    """Texts → float32 (b, dim) of unit length: any text model of transformers, by folder or hub id.

    The last layer's tokens are pooled; of a model with one space for several modalities (CLIP, SigLIP, CLAP) the
    projected text vector is taken. A folder of sentence-transformers says its pooling and length itself. A text longer
    than the model takes is cut into windows of almost the same length, whose vectors are averaged: nothing is cut off.
    Precision int8 scales by batch: a vector then depends on its company, by about 1e-2.
    """

    modality: ClassVar[str] = "text"
    rows: ClassVar[int] = 32  # windows computed at a time

    pooling: Literal["mean", "cls", "last"] = "mean"  # over the tokens: their mean, the first one, or the last one
    prefix: str = ""  # before every text and window, as some models ask for ("passage: ")
    max_tokens: int = 512  # of a window, marks and prefix included; less where the model takes less

    def space(self) -> str:
        """The model's; with the pooling, where that makes a difference."""
        return self.state() if has_one_space(self.folder()) else f"{self.state()} {self.pooling}"

    def encode_batch(self, batch: list[str]) -> NDArray[np.float32]:
        """Texts (b of them) → float32 (b, dim), each of unit length."""
        folder, pooling, longest = self._sentence_folder()
        loaded, tokens = self.load(folder), once_of(self, "tokens", lambda: _tokens(folder))
        longest = min(longest, self.max_tokens, tokens.longest, _positions(loaded.network))
        windows = [self._windows(text, tokens, longest) for text in batch]
        vectors = mean_of_windows(windows, lambda some: self._pool(some, loaded, tokens, pooling), self.rows)
        return unit(vectors)

    def _windows(self, text: str, tokens: Tokens, longest: int) -> list[list[int]]:
        encoding = tokens.backend.encode(self.prefix + text, add_special_tokens=False)
        prefix = len(self.prefix.rstrip())
        n_prefix = sum(1 for _, end in encoding.offsets if end <= prefix) if prefix else 0
        first = [*tokens.first, *encoding.ids[:n_prefix]]
        if longest <= len(first) + len(tokens.last):
            raise OptionError(
                f"max_tokens = {longest} leaves no room beside {len(first) + len(tokens.last)} marks and tokens of "
                "the prefix; raise max_tokens or shorten the prefix"
            )
        windows = cut_tokens(encoding.ids[n_prefix:], longest, first, tokens.last)
        return [window or [tokens.padding] for window in windows]  # an empty text, and a model without marks

    def _pool(self, windows: list[list[int]], loaded: Loaded, tokens: Tokens, pooling: str) -> NDArray[np.float32]:
        import torch

        network = loaded.network
        fixed = network.config.text_config.max_position_embeddings if "siglip" in network.config.model_type else None
        padded = pad(windows, tokens.padding, fixed, tokens.side if fixed else "right")
        with torch.inference_mode(), one_thread:
            ids, mask = (torch.from_numpy(part).to(self.device) for part in padded)
            inputs = {"input_ids": ids, **({"attention_mask": mask} if tokens.masks or not fixed else {})}
            if hasattr(network, "get_text_features"):
                vectors = network.get_text_features(**inputs).pooler_output
            else:
                states = network(**inputs).last_hidden_state.float()  # (n_windows, longest, dim)
                vectors = masked_mean(states, mask) if pooling == "mean" else states[:, 0]
                if pooling == "last":
                    vectors = states[torch.arange(len(ids)), mask.sum(dim=1) - 1]
            return np.asarray(vectors.float().cpu().numpy())

    def _sentence_folder(self) -> tuple[Path, str, int]:
        """The folder of the network, the pooling, and the longest window; as modules.json says, where there is one."""
        folder = self.folder()
        modules = read_json(folder / "modules.json")
        if not modules:
            return folder, self.pooling, self.max_tokens
        kinds = {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
        others = kinds.keys() - {"Transformer", "Pooling", "Normalize"}
        told = read_json(kinds["Pooling"] / "config.json") if "Pooling" in kinds else {}
        named = [key.split("_")[2] for key, used in told.items() if key.startswith("pooling_mode_") and used is True]
        pooling = told.get("pooling_mode", named[0] if len(named) == 1 else named)
        if others or "Transformer" not in kinds or pooling not in POOLINGS:
            raise DataError(
                f"{folder}: a model of sentence-transformers with modules {', '.join(kinds)} and pooling {pooling}; "
                "TransformersText knows Transformer, Pooling (mean, cls, lasttoken) and Normalize: use SharedText"
            )
        longest = read_json(kinds["Transformer"] / "sentence_bert_config.json").get("max_seq_length")
        return kinds["Transformer"], POOLINGS[pooling], longest or self.max_tokens


def _tokens(folder: Path) -> Tokens:
    from transformers import AutoTokenizer

    with reading(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, **SAFELY)
    if not tokenizer.is_fast:
        raise DataError(
            f"{folder}: no fast tokenizer; save one as tokenizer.json beside the model (package tokenizers)"
        )
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    probe = backend.encode("a")  # with the marks that the model expects around it
    n_first = probe.special_tokens_mask.index(0)
    n_last = probe.special_tokens_mask[::-1].index(0)
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return Tokens(
        backend,
        first=probe.ids[:n_first],
        last=probe.ids[len(probe.ids) - n_last :],
        padding=next(id for id in ids if id is not None),
        side=tokenizer.padding_side,
        masks="attention_mask" in tokenizer.model_input_names,
        longest=tokenizer.model_max_length,
    )


def _positions(network: Any) -> int:
    """How many tokens the network has positions for. RoBERTa's and MPNet's tables start after the padding's place."""
    config = getattr(network.config, "text_config", network.config)
    tables = [part for name, part in network.named_modules() if name.endswith(".position_embeddings")]
    unused = [table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None]
    return int(getattr(config, "max_position_embeddings", None) or 1 << 30) - (unused[0] if unused else 0)
