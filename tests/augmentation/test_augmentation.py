"""Augmentations: what all of them keep to, and each one's formula."""

from collections import Counter

import numpy as np
import pytest

from fuserec.augmentation.audio import Gain, SoundNoise, SpecMask, TimeShift
from fuserec.augmentation.augmentation import Chain
from fuserec.augmentation.image import ColorJitter, PictureNoise, ResizedCrop, Rotation
from fuserec.augmentation.sequence import SequenceCrop, SequenceMask, SequenceReorder
from fuserec.augmentation.text import TokenDropout, TokenSwap
from fuserec.errors import OptionError
from fuserec.registry import components, make

NAMES = list(components("augmentation"))
CHANGES_LENGTH = ("SequenceCrop", "TokenDropout")


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(height=40, width=56):
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=2).astype(np.uint8)


def sound(n=4_000):
    return (0.3 * np.sin(np.arange(n, dtype=np.float32) * 0.3)).astype(np.float32)


def value_for(modality):
    return {
        "image": picture(),
        "audio": sound(),
        "spectrogram": rng(1).random((64, 300), dtype=np.float32),
        "sequence": np.arange(20, dtype=np.int64) * 3,
        "text": "a red summer dress with flowers, light and long 夏天红色连衣裙 for the beach and the town",
    }[modality]


def same(first, second):
    return first == second if isinstance(first, str) else np.array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_follows_from_the_seed_and_leaves_the_value_as_it_was(name):
    augmentation = make("augmentation", name)
    value = value_for(augmentation.modality)
    before = value if isinstance(value, str) else value.copy()
    first, again, other = (augmentation(value, rng(seed)) for seed in (3, 3, 4))
    assert same(value, before)
    assert same(first, again) and not same(first, other) and not same(first, value)
    assert type(first) is type(value)
    if not isinstance(value, str):
        assert first.dtype == value.dtype and not np.shares_memory(first, value)
        assert first.shape == value.shape or name in CHANGES_LENGTH


@pytest.mark.parametrize(
    ("augmentation", "empty"),
    [(make("augmentation", name), part) for name in NAMES for part in (0, 1)],
    ids=lambda part: str(part) if isinstance(part, int) else type(part).__name__,
)
def test_values_with_next_to_nothing_in_them_are_no_failure(augmentation, empty):
    smallest = {
        "image": [np.full((1, 1, 3), 7, np.uint8)] * 2,
        "audio": [np.zeros(0, np.float32), np.zeros(5, np.float32)],
        "spectrogram": [np.zeros((4, 0), np.float32), np.ones((1, 1), np.float32)],
        "sequence": [np.zeros(0, np.int64), np.ones(1, np.int64)],
        "text": ["", "红"],
    }[augmentation.modality][empty]
    found = augmentation(smallest, rng())
    assert isinstance(found, str) or (found.shape == smallest.shape and np.isfinite(found).all())
    if augmentation.modality == "text":
        assert found == smallest


OFF = [
    PictureNoise(sigma=0), Rotation(degrees=0), ResizedCrop(smallest=1, largest=1, aspect=1),
    ColorJitter(brightness=0, contrast=0, saturation=0), TimeShift(share=0), Gain(decibels=0),
    SpecMask(bands=0, times=0), TokenDropout(rate=0), TokenSwap(rate=0), SequenceCrop(share=1),
    SequenceMask(share=0), SequenceReorder(share=0),
]  # fmt: skip


@pytest.mark.parametrize("augmentation", OFF, ids=lambda augmentation: type(augmentation).__name__)
def test_at_strength_zero_nothing_changes(augmentation):
    value = value_for(augmentation.modality)
    assert same(augmentation(value, rng()), value)


# Pictures


def test_noise_has_its_standard_deviation_and_stays_in_range():
    gray = np.full((100, 100, 3), 128, np.uint8)
    noise = PictureNoise(sigma=12)(gray, rng()).astype(float) - 128
    assert noise.std() == pytest.approx(12, rel=0.02) and abs(noise.mean()) < 0.3
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05
    white = PictureNoise(sigma=50)(np.full((40, 40, 3), 255, np.uint8), rng())
    assert (white == 255).mean() == pytest.approx(0.5, abs=0.05)  # clipped, not wrapped around


def test_rotation_against_a_slow_loop():
    before = picture(30, 30)
    found = Rotation(degrees=40)(before, rng(5))
    angle = np.radians(rng(5).uniform(-40, 40))
    checked = 0
    for row in range(30):
        for column in range(30):
            x, y = column - 14.5, row - 14.5  # counterclockwise on the screen, where y points down
            source_x = np.cos(angle) * x - np.sin(angle) * y + 14.5
            source_y = np.sin(angle) * x + np.cos(angle) * y + 14.5
            left, top = int(np.floor(source_x)), int(np.floor(source_y))
            if 0 <= left < 29 and 0 <= top < 29:
                right, down = source_x - left, source_y - top
                corners = before[top : top + 2, left : left + 2].astype(float)
                weights = np.outer([1 - down, down], [1 - right, right])
                slow = (corners * weights[..., None]).sum(axis=(0, 1))
                assert np.abs(found[row, column] - slow).max() <= 1.5
                checked += 1
    assert checked > 500
    assert (found[0, 0] == before.reshape(-1, 3).mean(axis=0).round()).all()


def test_a_crop_is_the_part_of_the_picture_that_was_drawn():
    """The value of a pixel of `picture` tells where it came from, so the box can be read off the variant."""
    before = picture(200, 200)
    areas, shapes, places = [], [], []
    for seed in range(100):
        after = ResizedCrop(smallest=0.3, largest=0.8, aspect=1.25)(before, rng(seed)).astype(float)
        width, height = np.ptp(after[..., 0]) / 255, np.ptp(after[..., 1]) / 255
        areas.append(width * height)
        shapes.append(width / height)
        places.append(after[..., 0].min() / 255 / max(1 - width, 1e-9))
        assert np.abs(np.diff(after[100, :, 0]) - width * 255 / 200).max() < 1.5  # stretched evenly
    assert min(areas) > 0.27 and max(areas) < 0.83 and np.mean(areas) == pytest.approx(0.55, abs=0.04)
    assert min(shapes) > 0.78 and max(shapes) < 1.28 and np.mean(np.log(shapes)) == pytest.approx(0, abs=0.04)
    assert np.mean(places) == pytest.approx(0.5, abs=0.1) and np.std(places) > 0.2


@pytest.mark.parametrize("which", ["brightness", "contrast", "saturation"])
def test_color_jitter_is_the_blend_of_its_docstring(which):
    before = picture()
    options = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, which: 0.5}
    found = ColorJitter(**options)(before, rng(2)).astype(float)
    draws = rng(2)
    order = draws.permutation(3).tolist()
    factors = [draws.uniform(0.5, 1.5) if list(options)[index] == which else draws.uniform(1, 1) for index in order]
    factor = factors[order.index(list(options).index(which))]
    assert abs(factor - 1) > 0.05
    gray = before @ np.array([0.299, 0.587, 0.114])
    other = {"brightness": 0.0, "contrast": gray.mean().round(), "saturation": gray[..., None]}[which]
    assert np.abs(found - np.clip(other + factor * (before - other), 0, 255)).max() <= 1.5


# Sounds


@pytest.mark.parametrize("snr", [-10.0, 0.0, 20.0])
def test_the_signal_to_noise_ratio_is_the_one_asked_for(snr):
    before = sound()
    noise = SoundNoise(snr=snr)(before, rng()).astype(float) - before
    assert 10 * np.log10(np.mean(before.astype(float) ** 2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[: power.size // 2].mean() == pytest.approx(power[power.size // 2 :].mean(), rel=0.1)  # white


def test_a_time_shift_rotates_the_samples_by_its_share_at_most():
    before = np.arange(1_000, dtype=np.float32)
    moves = []
    for seed in range(200):
        after = TimeShift(share=0.2)(before, rng(seed))
        move = int(after.argmin() + 500) % 1_000 - 500
        assert np.array_equal(after, np.roll(before, move))
        moves.append(move)
    assert min(moves) < -150 and max(moves) > 150 and max(map(abs, moves)) <= 200


def test_gain_is_in_decibels():
    before = sound()
    decibels = [20 * np.log10(Gain(decibels=6)(before, rng(seed))[1] / before[1]) for seed in range(200)]
    assert min(decibels) < -5 and max(decibels) > 5 and np.abs(decibels).max() <= 6.001
    assert Gain(decibels=6)(before, rng(1)) == pytest.approx(before * 10 ** (decibels[1] / 20), rel=1e-5)


def runs(flags):
    """Bool (n,) → the lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return (edges[1::2] - edges[::2]).tolist()


def test_spectrogram_masks_have_the_widths_of_the_paper():
    before = rng(1).random((40, 200), dtype=np.float32)
    bands, times = [], []
    for seed in range(300):
        after = SpecMask(bands=1, band_width=10, times=1, time_width=50, time_share=0.15)(before, rng(seed))
        changed = after != before
        assert np.allclose(after[changed], before.mean())
        whole_bands, whole_times = changed.all(axis=1), changed.all(axis=0)
        assert np.array_equal(changed, whole_bands[:, None] | whole_times)
        assert len(runs(whole_bands)) <= 1 and len(runs(whole_times)) <= 1
        bands.append(whole_bands.sum())
        times.append(whole_times.sum())
    assert set(bands) == set(range(11)) and set(times) == set(range(31))  # 0.15 * 200 frames, less than 50
    two = SpecMask(bands=2, band_width=5, times=0)(before, rng(4)) != before
    assert len(runs(two.all(axis=1))) == 2 and not two.all(axis=0).any()


# Texts


def test_tokens_are_left_out_at_their_rate_and_keep_their_order():
    text = " ".join(f"t{number}" for number in range(2_000))
    kept = TokenDropout(rate=0.3)(text, rng()).split()
    assert len(kept) / 2_000 == pytest.approx(0.7, abs=0.03)
    numbers = [int(token[1:]) for token in kept]
    assert numbers == sorted(set(numbers))


def test_one_token_is_always_left():
    assert {TokenDropout(rate=1)("red blue green", rng(seed)).strip() for seed in range(30)} == {"red", "blue", "green"}


def test_chinese_is_left_out_character_by_character():
    text = "夏天红色连衣裙新款"
    kept = TokenDropout(rate=0.5)(text, rng(1))
    assert 0 < len(kept) < len(text)
    assert [letter for letter in text if letter in kept] == list(kept)
    mixed = TokenSwap(rate=1)("夏天dress", rng(1))
    assert mixed != "夏天dress" and "dress" in mixed and sorted(mixed) == sorted("夏天dress")


def test_a_swap_changes_two_places():
    text = "one two  three\nfour five six seven eight nine ten"
    for seed in range(50):
        after = TokenSwap(rate=0.1)(text, rng(seed))  # one swap for ten tokens
        assert sum(a != b for a, b in zip(text.split(), after.split(), strict=True)) == 2
        assert sorted(after.split()) == sorted(text.split())
    after = TokenSwap(rate=1)(text, rng(0))
    assert Counter(after) == Counter(text) and sum(a != b for a, b in zip(text.split(), after.split(), strict=True)) > 4


# Histories


def test_a_crop_of_a_history_is_one_stretch_in_order():
    history = np.arange(100, 111)
    starts = set()
    for seed in range(100):
        after = SequenceCrop(share=0.6)(history, rng(seed))
        assert len(after) == 6 and (np.diff(after) == 1).all()  # floor(0.6 * 11)
        starts.add(int(after[0]) - 100)
    assert starts == set(range(6))
    assert len(SequenceCrop(share=0.0)(history, rng())) == 1


def test_a_mask_covers_its_share_of_a_history():
    history = np.arange(11)
    places = Counter()
    for seed in range(300):
        after = SequenceMask(share=0.3, token=99)(history, rng(seed))
        covered = np.flatnonzero(after == 99)
        assert len(covered) == 3 and np.array_equal(np.delete(after, covered), np.delete(history, covered))
        places.update(covered.tolist())
    assert len(places) == 11 and min(places.values()) > 50


def test_reordering_keeps_all_entries_and_those_outside_of_one_stretch_in_place():
    history = np.arange(20) % 7
    for seed in range(50):
        after = SequenceReorder(share=0.5)(history, rng(seed))
        assert Counter(after.tolist()) == Counter(history.tolist())
        moved = np.flatnonzero(after != history)
        assert moved.size == 0 or np.ptp(moved) < 10


# Chains and options


def test_a_chain_runs_its_steps_in_order_with_one_source_of_chance():
    before, draws = sound(), rng(7)
    chain = Chain(steps=(Gain(), TimeShift(), SoundNoise()))
    slow = SoundNoise()(TimeShift()(Gain()(before, draws), draws), draws)
    assert np.array_equal(chain(before, rng(7)), slow) and chain.modality == "audio"


def test_a_chain_of_two_modalities_is_refused():
    with pytest.raises(OptionError, match="takes one modality; found audio, spectrogram"):
        Chain(steps=(Gain(), SpecMask()))
    with pytest.raises(OptionError, match="found no steps"):
        Chain(steps=())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PictureNoise", {"sigma": -1}), ("Rotation", {"degrees": 181}), ("ResizedCrop", {"smallest": 0}),
        ("ResizedCrop", {"aspect": 0.5}), ("ColorJitter", {"contrast": 2}), ("SoundNoise", {"snr": float("nan")}),
        ("TimeShift", {"share": 2}), ("Gain", {"decibels": -1}), ("SpecMask", {"bands": -1}),
        ("SpecMask", {"time_share": 1.5}), ("TokenDropout", {"rate": 1.1}), ("TokenSwap", {"rate": -0.1}),
        ("SequenceCrop", {"share": 1.1}), ("SequenceMask", {"share": -1}), ("SequenceReorder", {"share": 3}),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(name, options):
    option, value = next(iter(options.items()))
    with pytest.raises(OptionError, match=rf"{name}: {option} is {value}; expected [-\d.]+ to [\d.e+]+"):
        make("augmentation", name, options)


def test_a_crop_whose_smallest_part_is_above_its_largest_is_refused():
    with pytest.raises(OptionError, match="smallest is 0.9, above largest, which is 0.5"):
        ResizedCrop(smallest=0.9, largest=0.5)
