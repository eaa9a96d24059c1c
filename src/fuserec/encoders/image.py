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
LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)  # red, green, blue, of ITU-R BT.709


@dataclass(kw_only=True, eq=False)
class ColorTexture(Encoder):
    """Pictures → float32 (b, 541) by default: three blocks of the same length, so that none of them decides alone.

    color (137): `color_block`; edges (36 (cells - 1)^2): `edge_block`; texture (80): `texture_block`.
    A block in which nothing is found (the edges of an even surface) is zero. Vectors have at most unit length.
    """

    modality: ClassVar[str] = "image"
    batch_size: ClassVar[int] = 8  # enough that numpy works outside the interpreter's lock, little enough for the cache

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
        pictures = np.stack(batch)
        gray = sum(pictures[..., channel] * weight for channel, weight in enumerate(LUMA))  # (b, side, side)
        return same_length([color_block(pictures), edge_block(gray, self.cells), texture_block(gray)])


def same_length(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Blocks, each float32 (..., n) → side by side, each at length 1 / sqrt(number of blocks); a zero block stays."""
    scaled = []
    for block in blocks:
        length = np.linalg.norm(block, axis=-1, keepdims=True) * len(blocks) ** 0.5
        scaled.append(np.divide(block, length, out=np.zeros_like(block), where=length > EPSILON))
    return np.concatenate(scaled, axis=-1).astype(np.float32)


def color_block(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB uint8 (b, height, width, 3) → float32 (b, 137): which colors, and how much of each.

    The square root of a joint histogram of 8 hues x 4 saturations x 4 values (Swain and Ballard 1991; with the root, a
    dot product is the Bhattacharyya coefficient), where the palest saturation has one hue only, as gray has none; then
    mean, standard deviation and cube root of the third central moment of red, green and blue in [0, 1]
    (Stricker and Orengo 1995).
    """
    hsv = np.stack([np.asarray(Image.fromarray(picture).convert("HSV")) for picture in pictures])
    saturation, value = hsv[..., 1] // (256 // SATURATIONS), hsv[..., 2] // (256 // VALUES)
    hue = np.where(saturation > 0, hsv[..., 0] // (256 // HUES), 0)
    histogram = _histograms((hue * SATURATIONS + saturation) * VALUES + value, HUES * SATURATIONS * VALUES)
    channels = pictures.reshape(len(pictures), -1, 3).swapaxes(1, 2).astype(np.float32, order="C") / 255.0  # (b, 3, n)
    mean = channels.mean(axis=2)
    channels -= mean[..., None]
    square = channels * channels
    channels *= square
    moments = [mean, np.sqrt(square.mean(axis=2)), np.cbrt(channels.mean(axis=2))]
    return np.concatenate([np.sqrt(histogram), *moments], axis=1).astype(np.float32)


def _histograms(bins: NDArray[np.integer], n_bins: int) -> NDArray[np.float64]:
    """Bins (b, ...) in 0..n_bins - 1 → which share of each row is in each bin, float64 (b, n_bins)."""
    rows = bins.reshape(len(bins), -1) + (np.arange(len(bins)) * n_bins)[:, None]
    counts = np.bincount(rows.ravel(), minlength=len(bins) * n_bins)
    shares: NDArray[np.float64] = counts.reshape(len(bins), n_bins) / rows.shape[1]
    return shares


def edge_block(gray: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Gray float32 (b, height, width) in [0, 255] → float32 (b, 36 (cells - 1)^2): which way edges run, and where.

    Histograms of oriented gradients (Dalal and Triggs 2005): in each of cells x cells cells, gradient lengths summed
    over 9 directions; 2 x 2 neighbouring cells together at unit length, clipped at 0.2, at unit length again.
    """
    n, height, width = gray.shape
    down, right = np.zeros_like(gray), np.zeros_like(gray)
    down[:, 1:-1], right[:, :, 1:-1] = gray[:, 2:] - gray[:, :-2], gray[:, :, 2:] - gray[:, :, :-2]
    length = np.sqrt(down * down + right * right) * (cells * cells / (height * width))  # per pixel of a cell
    turn = np.floor(np.arctan2(down, right) * np.float32(TURNS / np.pi)).astype(np.int8) % TURNS
    row, column = np.arange(height) * cells // height, np.arange(width) * cells // width
    cell = row[:, None] * cells + column + (np.arange(n) * cells * cells)[:, None, None]  # (b, height, width)
    counts = np.bincount((cell * TURNS + turn).ravel(), length.ravel(), n * cells * cells * TURNS)
    counts = counts.reshape(n, cells, cells, TURNS)
    corners = [counts[:, :-1, :-1], counts[:, :-1, 1:], counts[:, 1:, :-1], counts[:, 1:, 1:]]
    groups = np.concatenate(corners, axis=3)  # (b, cells - 1, cells - 1, 36)
    for _ in range(2):
        groups = groups / np.sqrt((groups * groups).sum(axis=3, keepdims=True) + EPSILON**2)
        groups, clipped = np.minimum(groups, 0.2), groups
    edges: NDArray[np.float32] = clipped.reshape(n, -1).astype(np.float32)
    return edges


def texture_block(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gray float32 (b, height, width) → float32 (b, 80): how rough it is, fine and coarse, in each quarter.

    The square roots of histograms of `local_patterns`, at full and at half size.
    """
    height, width = gray.shape[1] // 2, gray.shape[2] // 2
    even = gray[:, : 2 * height, : 2 * width]
    half: NDArray[np.float32] = (
        even[:, ::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, ::2] + even[:, 1::2, 1::2]
    ) / np.float32(4)
    histograms = []
    for level in (gray, half):
        patterns = local_patterns(level)
        row, column = (np.arange(n) * 2 // n for n in patterns.shape[1:])
        quarter = (row[:, None] * 2 + column).astype(np.int8)
        histograms.append(_histograms(quarter * PATTERNS + patterns, 4 * PATTERNS))
    textures: NDArray[np.float32] = np.sqrt(np.concatenate(histograms, axis=1)).astype(np.float32)
    return textures


def local_patterns(gray: NDArray[np.float32]) -> NDArray[np.int8]:
    """Gray float32 (b, height, width) → patterns int8 (b, height - 2, width - 2) in 0..9, of the inner pixels.

    Local binary patterns LBP_{8,1}^{riu2} (Ojala et al. 2002, eq. 9): of the 8 neighbours on a circle of radius 1
    (bilinear between pixels), how many are at least as bright as the center, where those lie side by side; else 9.
    """
    height, width = gray.shape[1:]
    center = gray[:, 1:-1, 1:-1]

    def shifted(down: int, right: int) -> NDArray[np.float32]:
        return gray[:, 1 + down : height - 1 + down, 1 + right : width - 1 + right]

    near = np.float32(1 - np.sqrt(0.5))  # a diagonal neighbour lies at (1 - near, 1 - near)
    far = np.float32(np.sqrt(0.5))
    threshold = center - np.float32(1e-3)  # even surfaces count as equal in spite of rounding
    bits = np.empty((8, *center.shape), dtype=bool)
    for k, (down, right) in enumerate([(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]):
        neighbour = shifted(down, right)
        if down and right:
            middle = near * near * center + near * far * (shifted(down, 0) + shifted(0, right))
            neighbour = middle + far * far * neighbour
        np.greater_equal(neighbour, threshold, out=bits[k])
    brighter = np.zeros(center.shape, dtype=np.int8)
    changes = np.zeros(center.shape, dtype=np.int8)
    for k in range(8):
        brighter += bits[k]
        changes += bits[k] != bits[k - 1]
    return np.where(changes <= 2, brighter, np.int8(PATTERNS - 1))
