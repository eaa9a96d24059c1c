"""Pictures → vectors of any vision model that transformers knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fuserec.data.media import Limits, read_image
from fuserec.encoders.hub import SAFELY, HubModel, has_one_space, once_of, reading
from fuserec.encoders.windows import unit


@dataclass(kw_only=True, eq=False)
class TransformersImage(HubModel):
    """Pictures → float32 (b, dim): any vision model of transformers, by folder or hub id (ResNet, ViT, DINOv2, CLIP).

    The pooled output, or the mean over the last hidden state where the model has no trained pooler. Of a model with one
    space for several modalities (CLIP, SigLIP 2) the projected picture vector, of unit length. Pictures are resized and
    normalized as the model's preprocessor_config.json says, by Pillow; torchvision is not needed.
    """

    modality: ClassVar[str] = "image"
    batch_size: ClassVar[int] = 4  # pictures wait in their full size

    def decode(self, value: Path, limits: Limits) -> NDArray[np.uint8]:
        """Picture file → RGB uint8 (height, width, 3). Raises `MediaError`."""
        return read_image(value, limits)

    def encode_batch(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pictures, each RGB uint8 (height, width, 3) → float32 (b, dim)."""
        folder = self.folder()
        network, pooler = self.load(folder)
        resize = once_of(self, "pictures", lambda: _resizer(folder))
        features = [
            {key: part[0] for key, part in resize(Image.fromarray(picture), return_tensors="np").items()}
            for picture in batch
        ]

        def encode(inputs: dict[str, Any]) -> Any:
            if hasattr(network, "get_image_features"):
                return network.get_image_features(**inputs).pooler_output
            output = network(**inputs)
            if pooler and output.get("pooler_output") is not None:
                return output.pooler_output.flatten(start_dim=1)  # of a convolution: (b, dim, 1, 1)
            states = output.last_hidden_state  # (b, n_patches, dim), or (b, dim, height, width) of a convolution
            return states.mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))

        vectors = self.run(features, encode)
        return unit(vectors) if has_one_space(folder) else vectors


def _resizer(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    with reading(folder):
        return AutoImageProcessor.from_pretrained(folder, backend="pil", **SAFELY)
