"""ColorTexture: each block against a slow loop or scikit-image, and what it tells apart."""

import numpy as np
import pytest
from skimage.feature import hog, local_binary_pattern

from fuserec.encoders.image import ColorTexture, color_block, edge_block, local_patterns, texture_block
from fuserec.errors import OptionError

COLOR, EDGES = slice(0, 137), slice(137, 461)


def noise(side=128, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def plain(color, side=128):
    return np.full((side, side, 3), color, dtype=np.uint8)


def stripes(across, side=128, width=8):
    wave = (np.arange(side) // width % 2 * 255).astype(np.uint8)
    gray = np.tile(wave[:, None] if across else wave[None], (1, side) if across else (side, 1))
    return np.repeat(gray[..., None], 3, axis=2)


def near(first, second):
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.mark.parametrize(("side", "cells"), [(128, 4), (96, 6), (64, 2)])
def test_edges_are_those_of_scikit_image(side, cells):
    gray = noise(side).astype(np.float64).mean(axis=2)
    theirs = hog(gray, 9, (side // cells,) * 2, (2, 2), block_norm="L2-Hys")
    ours = edge_block(gray.astype(np.float32)[None], cells)[0]
    assert ours.shape == (36 * (cells - 1) ** 2,)
    # ours lists a group's four cells in the same order: upper left, upper right, lower left, lower right
    assert np.abs(ours - theirs).max() < 2e-3


def test_patterns_are_those_of_scikit_image():
    gray = noise()[..., 0]
    theirs = local_binary_pattern(gray, 8, 1, "uniform")[1:-1, 1:-1]
    ours = local_patterns(gray.astype(np.float32)[None])[0]
    assert ours.min() >= 0 and ours.max() <= 9
    assert (ours == theirs).mean() > 0.999  # ties may be rounded differently


def test_patterns_do_not_turn_with_the_picture_nor_change_with_the_light():
    gray = noise(64)[None, ..., 0].astype(np.float32)
    turned = np.rot90(gray, axes=(1, 2))
    assert np.array_equal(local_patterns(turned), np.rot90(local_patterns(gray), axes=(1, 2)))
    assert np.array_equal(local_patterns(gray * 0.5 + 20), local_patterns(gray))
    assert (local_patterns(np.full((1, 9, 9), 77.3, np.float32)) == 8).all()


def test_colors_against_a_slow_loop():
    import colorsys

    picture = noise(16)
    histogram = np.zeros((8, 4, 4))
    for pixel in picture.reshape(-1, 3):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255.0))
        bins = [min(int(share * 255) * n // 256, n - 1) for share, n in ((hue, 8), (saturation, 4), (value, 4))]
        histogram[bins[0] if bins[1] else 0, bins[1], bins[2]] += 1 / 256
    block = color_block(picture[None])[0]
    moved = np.abs(block[:128] ** 2 - histogram.ravel()).sum() / 2
    assert moved < 0.03  # Pillow rounds hues to bytes, so pixels on a border may fall on its other side
    for channel in range(3):
        values = picture[..., channel].ravel() / 255.0
        mean = sum(values) / len(values)
        second = sum((value - mean) ** 2 for value in values) / len(values)
        third = sum((value - mean) ** 3 for value in values) / len(values)
        assert block[128 + channel] == pytest.approx(mean, abs=1e-5)
        assert block[131 + channel] == pytest.approx(second**0.5, abs=1e-5)
        assert block[134 + channel] == pytest.approx(np.cbrt(third), abs=1e-3)


def test_blocks_have_the_same_length_and_shapes_are_as_documented():
    vector = ColorTexture().encode_batch([noise()])[0]
    assert vector.shape == (541,) and vector.dtype == np.float32
    for block in (vector[COLOR], vector[EDGES], vector[461:]):
        assert np.linalg.norm(block) == pytest.approx(3**-0.5, abs=1e-5)
    assert texture_block(noise().mean(axis=2).astype(np.float32)[None]).shape == (1, 80)
    assert ColorTexture(side=64, cells=3).encode_batch([noise(64)]).shape == (1, 137 + 144 + 80)


def test_red_and_blue_differ_in_color_only():
    red, blue = ColorTexture().encode_batch([plain((200, 20, 20)), plain((20, 20, 200))])
    assert near(red[COLOR], blue[COLOR]) < 0.3
    assert near(red[461:], blue[461:]) > 0.999
    assert not red[EDGES].any() and np.isfinite(red).all()


def test_dark_and_light_red_share_a_hue():
    red, dark, blue = color_block(np.stack([plain(color) for color in ((200, 20, 20), (230, 30, 30), (20, 20, 200))]))
    assert near(red, dark) > 0.9 > 0.3 > near(red, blue)


def test_gray_has_one_hue():
    rng = np.random.default_rng(0)
    tinted = (128 + rng.integers(-3, 4, (64, 64, 3))).astype(np.uint8)
    assert (color_block(tinted[None])[0, :128] > 0).sum() <= 2


def test_stripes_of_another_direction_differ_in_edges_only():
    across, along = ColorTexture().encode_batch([stripes(True), stripes(False)])
    assert near(across[EDGES], along[EDGES]) < 0.1
    assert near(across[COLOR], along[COLOR]) > 0.999


def test_rough_and_smooth_differ_in_texture():
    smooth = np.repeat(np.linspace(0, 255, 128)[None], 128, axis=0)
    grays = np.stack([smooth, *(noise(seed=seed).mean(axis=2) for seed in (0, 5))]).astype(np.float32)
    even, rough, another = texture_block(grays)
    assert near(even, rough) < 0.7
    assert near(rough, another) > 0.98


def test_a_little_noise_changes_little():
    picture = stripes(True) // 2 + 40
    noisy = (picture + np.random.default_rng(0).integers(0, 4, picture.shape)).astype(np.uint8)
    first, second = ColorTexture().encode_batch([picture, noisy])
    assert near(first[: EDGES.stop], second[: EDGES.stop]) > 0.95


@pytest.mark.parametrize("options", [{"side": 8}, {"cells": 1}, {"side": 32, "cells": 9}])
def test_options_that_make_no_sense(options):
    with pytest.raises(OptionError, match="expected side >= 16"):
        ColorTexture(**options)
