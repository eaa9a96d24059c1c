"""Pictures → vectors of color, edges and texture: formulas only, nothing to download."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fuserec.data.media import Limits, read_image
from fuserec.encoders.encoder import Encoder
from fuserec.errors import OptionError

HUES, SATURATIONS, VALUES = 8, 4, 4
TURNS = 9  # directions of an edge, 20 degrees each
PATTERNS = 10  # rotation-invariant uniform patterns of 8 neighbours, the last one for all that are not uniform
EPSILON = 1e-5


@dataclass(kw_only=True, eq=False)
class ColorTexture(Encoder):
    """Pictures → float32 (b, 541) by default: three blocks of the same length, so that none of them decides alone.

    color (137): `color_block`; edges (36 (cells - 1)^2): `edge_block`; texture (80): `texture_block`.
    A block in which nothing is found (the edges of an even surface) is zero. Vectors have at most unit length.
    """

    modality: ClassVar[str] = "image"

    side: int = 128  # pixels; pictures are stretched to side x side
    cells: int = 4  # edges are counted in cells x cells cells

    def __post_init__(self) -> None:
        if self.side < 16 or not 2 <= self.cells <= self.side // 4:
            raise OptionError(
                f"side = {self.side} and cells = {self.cells}; expected side >= 16 and 2 <= cells <= side / 4"
            )

    def decode(self, value: Path, limits: Limits) -> NDArray[np.uint8]:
        """Picture file → RGB uint8 (side, side, 3). Raises `MediaError`."""
        return read_image(value, limits, self.side)

    def encode_batch(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pictures, each RGB uint8 (side, side, 3) → float32 (b, dim)."""
        return np.stack([self._encode(picture) for picture in batch])

    def _encode(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        luma = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # of ITU-R BT.709
        gray: NDArray[np.float32] = (picture @ luma).astype(np.float32)  # (side, side)
        blocks = [color_block(picture), edge_block(gray, self.cells), texture_block(gray)]
        return same_length(blocks)


def same_length(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Blocks, each float32 (n,) → side by side, each at length 1 / sqrt(number of blocks); a zero block stays zero."""
    lengths = [float(np.linalg.norm(block)) * len(blocks) ** 0.5 for block in blocks]
    scaled = [block / length if length > EPSILON else 0 * block for block, length in zip(blocks, lengths, strict=True)]
    return np.concatenate(scaled).astype(np.float32)


def color_block(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (height, width, 3) → float32 (137,): which colors, and how much of each.

    The square root of a joint histogram of 8 hues x 4 saturations x 4 values (Swain and Ballard 1991; with the root, a
    dot product is the Bhattacharyya coefficient), where the palest saturation has one hue only, as gray has none; then
    mean, standard deviation and cube root of the third central moment of red, green and blue in [0, 1]
    (Stricker and Orengo 1995).
    """
    hsv = np.asarray(Image.fromarray(picture).convert("HSV"), dtype=np.intp)
    saturation, value = hsv[..., 1] * SATURATIONS // 256, hsv[..., 2] * VALUES // 256
    hue = np.where(saturation > 0, hsv[..., 0] * HUES // 256, 0)
    bins = (hue * SATURATIONS + saturation) * VALUES + value  # (height, width)
    histogram = np.bincount(bins.ravel(), minlength=HUES * SATURATIONS * VALUES) / bins.size
    pixels = picture.reshape(-1, 3).T.astype(np.float32) / 255.0  # (3, n_pixels)
    mean = pixels.mean(axis=1)
    offset = pixels - mean[:, None]
    square = offset * offset
    moments = [mean, np.sqrt(square.mean(axis=1)), np.cbrt((square * offset).mean(axis=1))]
    return np.concatenate([np.sqrt(histogram), *moments]).astype(np.float32)


def edge_block(gray: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Gray float32 (height, width) in [0, 255] → float32 (36 (cells - 1)^2,): which way the edges run, and where.

    Histograms of oriented gradients (Dalal and Triggs 2005): in each of cells x cells cells, gradient lengths summed
    over 9 directions; 2 x 2 neighbouring cells together at unit length, clipped at 0.2, at unit length again.
    """
    height, width = gray.shape
    down, right = np.zeros_like(gray), np.zeros_like(gray)
    down[1:-1], right[:, 1:-1] = gray[2:] - gray[:-2], gray[:, 2:] - gray[:, :-2]
    length = np.hypot(down, right)
    turn = (np.degrees(np.arctan2(down, right)) % 180 * (TURNS / 180)).astype(np.intp) % TURNS
    row, column = np.arange(height) * cells // height, np.arange(width) * cells // width
    bins = (row[:, None] * cells + column) * TURNS + turn  # (height, width)
    length *= cells * cells / gray.size  # per pixel of a cell
    counts = np.bincount(bins.ravel(), length.ravel(), cells * cells * TURNS).astype(np.float64)
    counts = counts.reshape(cells, cells, TURNS)
    corners = [counts[:-1, :-1], counts[:-1, 1:], counts[1:, :-1], counts[1:, 1:]]
    groups = np.concatenate(corners, axis=2)  # (cells - 1, cells - 1, 36)
    for _ in range(2):
        groups = groups / np.sqrt((groups * groups).sum(axis=2, keepdims=True) + EPSILON**2)
        groups, clipped = np.minimum(groups, 0.2), groups
    edges: NDArray[np.float32] = clipped.ravel().astype(np.float32)
    return edges


def texture_block(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gray float32 (height, width) → float32 (80,): how rough it is, fine and coarse, in each quarter of the picture.

    The square roots of histograms of `local_patterns`, at full and at half size.
    """
    height, width = gray.shape[0] // 2, gray.shape[1] // 2
    half = gray[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    histograms = []
    for level in (gray, half):
        patterns = local_patterns(level)
        row, column = (np.arange(n) * 2 // n for n in patterns.shape)
        bins = (row[:, None] * 2 + column) * PATTERNS + patterns
        histograms.append(np.bincount(bins.ravel(), minlength=4 * PATTERNS) / bins.size)
    textures: NDArray[np.float32] = np.sqrt(np.concatenate(histograms)).astype(np.float32)
    return textures


def local_patterns(gray: NDArray[np.float32]) -> NDArray[np.intp]:
    """Gray float32 (height, width) → patterns intp (height - 2, width - 2) in 0..9, of the inner pixels.

    Local binary patterns LBP_{8,1}^{riu2} (Ojala et al. 2002, eq. 9): of the 8 neighbours on a circle of radius 1
    (bilinear between pixels), how many are at least as bright as the center, where those lie side by side; else 9.
    """
    height, width = gray.shape
    center = gray[1:-1, 1:-1]

    def shifted(down: int, right: int) -> NDArray[np.float32]:
        return gray[1 + down : height - 1 + down, 1 + right : width - 1 + right]

    near = np.float32(1 - np.sqrt(0.5))  # a diagonal neighbour lies at (1 - near, 1 - near)
    far = np.float32(np.sqrt(0.5))
    bits = np.empty((8, *center.shape), dtype=np.int8)
    for k, (down, right) in enumerate([(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]):
        neighbour = shifted(down, right)
        if down and right:
            middle = near * near * center + near * far * (shifted(down, 0) + shifted(0, right))
            neighbour = middle + far * far * neighbour
        bits[k] = neighbour >= center - 1e-3  # even surfaces count as equal in spite of rounding
    changes = (bits != np.roll(bits, 1, axis=0)).sum(axis=0)
    return np.where(changes <= 2, bits.sum(axis=0), PATTERNS - 1).astype(np.intp)
