"""MFCC: its spectra against librosa's numbers and slow loops, and what it tells apart."""

from pathlib import Path

import media
import numpy as np
import pytest
import torch

from fuserec.data.media import Limits
from fuserec.encoders import spectra
from fuserec.encoders.audio import MFCC
from fuserec.encoders.spectra import CHUNK, RATE, mel_matrix
from fuserec.errors import OptionError

REFERENCE = Path(__file__).parents[1] / "references" / "librosa_mel.npz"


@pytest.fixture(scope="module")
def librosa():
    """What tests/references/make_librosa_mel.py wrote."""
    with np.load(REFERENCE) as file:
        return dict(file)


def features(samples, **options):
    return [rows.numpy() for rows in spectra.features([torch.from_numpy(samples)], **options)[0]]


def mfcc(mel, n_mfcc):
    return spectra.mfcc(torch.from_numpy(mel), n_mfcc).numpy()


def slopes(coefficients):
    return spectra.slopes(torch.from_numpy(coefficients)).numpy()


def far(found, expected):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def tone(hz, seconds=1.0, loud=0.3):
    return (loud * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def near(first, second):
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_mel_and_mfcc_are_those_of_librosa(librosa):
    mel, _ = features(librosa["samples"])
    assert far(mel, librosa["mel"]) < 1e-5
    audible = librosa["mel"] > 1e-6 * librosa["mel"].max()
    assert np.abs(mel[audible] / librosa["mel"][audible] - 1).max() < 1e-3
    assert far(mfcc(mel, 20), librosa["mfcc"]) < 1e-5
    small, _ = features(librosa["samples"], n_fft=1024, hop=512, n_mels=64)
    assert far(small, librosa["mel_small"]) < 1e-5


def test_spectral_statistics_are_those_of_librosa(librosa):
    _, (centroid, bandwidth, rolloff, flatness, _, rms) = features(librosa["samples"])
    for found, name in ((centroid, "centroid"), (bandwidth, "bandwidth"), (rolloff, "rolloff")):
        assert far(found * RATE / 2, librosa[name][0]) < 1e-5, name
    assert far(flatness, librosa["flatness"][0]) < 1e-5
    assert far(rms, librosa["rms"][0]) < 1e-5


def test_a_triangle_has_its_area_and_its_place():
    bands = mel_matrix(RATE, 2048, 128)
    assert bands.shape == (128, 1025) and bands.dtype == np.float32
    area = bands.sum(axis=1) * RATE / 2048  # Hz
    assert np.abs(area[40:] - 1).max() < 0.05  # the lowest triangles are narrower than two bins
    assert (np.diff(bands.argmax(axis=1)) >= 0).all()


def test_mfcc_against_a_slow_loop():
    mel = np.random.default_rng(0).random((8, 3)).astype(np.float32)
    decibels = 10 * np.log10(mel)
    for k in range(4):
        scale = (1 / 8) ** 0.5 if k == 0 else (2 / 8) ** 0.5
        for frame in range(3):
            slow = scale * sum(decibels[n, frame] * np.cos(np.pi * k * (2 * n + 1) / 16) for n in range(8))
            assert mfcc(mel, 4)[k, frame] == pytest.approx(slow, abs=1e-4)


def test_slopes_against_a_slow_loop():
    values = np.random.default_rng(0).random((2, 7)).astype(np.float32)
    at = lambda row, frame: values[row, min(max(frame, 0), 6)]  # noqa: E731
    for row in range(2):
        for frame in range(7):
            slow = sum(k * (at(row, frame + k) - at(row, frame - k)) for k in (1, 2)) / 10
            assert slopes(values)[row, frame] == pytest.approx(slow, abs=1e-6)
    line = np.arange(9, dtype=np.float32)[None] * 3
    assert np.allclose(slopes(line)[0, 2:-2], 3)


def test_statistics_of_known_sounds():
    _, told = features(tone(2_000))
    centroid, bandwidth, rolloff, flatness, crossings, rms = told[:, 5:-5].mean(axis=1)
    assert centroid == pytest.approx(0.25, abs=0.01) and rolloff == pytest.approx(0.25, abs=0.01)
    assert bandwidth < 0.05 and flatness < 1e-3
    assert crossings == pytest.approx(2 * 2_000 / RATE, abs=0.005) and rms == pytest.approx(0.3 / 2**0.5, abs=0.005)
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    _, told = features(noise)
    centroid, _, rolloff, flatness, crossings, rms = told[:, 5:-5].mean(axis=1)
    assert centroid == pytest.approx(0.5, abs=0.02) and rolloff == pytest.approx(0.85, abs=0.02)
    assert flatness > 0.5 and crossings == pytest.approx(0.5, abs=0.02) and rms == pytest.approx(0.1, abs=0.005)
    _, told = features(np.zeros(RATE, np.float32))
    assert np.allclose(told, np.array([0, 0, 0, 1, 0, 0])[:, None])


def test_a_long_sound_is_worked_on_in_chunks():
    samples = np.random.default_rng(0).standard_normal(RATE * 40).astype(np.float32) * 0.1
    mel, told = features(samples)
    assert mel.shape == (128, 1 + samples.size // 512) and mel.shape[1] > 2 * CHUNK
    start = 512 * (CHUNK - 10)
    part, part_told = features(samples[start : start + 512 * 40])  # across the border of two chunks
    inner = slice(3, -3)
    same = slice(CHUNK - 10 + 3, CHUNK - 10 + part.shape[1] - 3)
    assert np.abs(part[:, inner] - mel[:, same]).max() < 1e-4
    assert np.abs(part_told[:, inner] - told[:, same]).max() < 1e-5


@pytest.mark.parametrize("n_samples", [1, 100, 1_023, 1_024, 1_025])
def test_sounds_of_any_length(n_samples):
    vector = MFCC().encode_batch([tone(440)[:n_samples]])
    assert vector.shape == (1, 90) and vector.dtype == np.float32 and np.isfinite(vector).all()


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.ones(RATE, np.float32), tone(440, loud=1e-7)])
def test_silence_is_no_failure(samples):
    vector = MFCC().encode_batch([samples])[0]
    assert np.isfinite(vector).all() and np.linalg.norm(vector) <= 1 + 1e-5


def test_shapes_and_lengths_are_as_documented():
    rng = np.random.default_rng(0)
    samples = tone(440) + 0.01 * rng.standard_normal(RATE).astype(np.float32)
    vector = MFCC().encode_batch([samples])[0]
    for block in (vector[:25], vector[25:76], vector[76:]):
        assert np.linalg.norm(block) == pytest.approx(3**-0.5, abs=1e-5)
    assert MFCC(deltas=False).encode_batch([samples]).shape == (1, 90 - 26)
    assert MFCC(n_mfcc=13, n_mels=40, n_fft=512, hop=256).encode_batch([samples]).shape == (1, 12 + 25 + 14)


def test_volume_changes_little_and_pitch_much():
    rng = np.random.default_rng(0)
    hiss = (0.003 * rng.standard_normal(RATE)).astype(np.float32)
    low, soft, high = MFCC().encode_batch([tone(200) + hiss, (tone(200) + hiss) * 0.3, tone(4_000) + hiss])
    assert near(low[:25], soft[:25]) > 0.999
    assert near(low[:25], high[:25]) < 0.6


def test_moving_and_steady_sounds_differ():
    rng = np.random.default_rng(0)
    steady = 0.1 * rng.standard_normal(RATE)
    pulsing = steady * (np.arange(RATE) // 2_000 % 2)
    first, second = MFCC().encode_batch([steady.astype(np.float32), pulsing.astype(np.float32)])
    assert near(first[76:], second[76:]) < 0.95


def test_no_number_decides_alone():
    rng = np.random.default_rng(1)
    sounds = [tone(hz) + 0.01 * rng.standard_normal(RATE).astype(np.float32) for hz in rng.uniform(100, 6_000, 40)]
    spread = MFCC().encode_batch(sounds).var(axis=0)
    assert spread.max() < 0.5 * spread.sum()


def test_a_file_of_another_rate_gives_almost_the_same(tmp_path):
    media.sound(tmp_path / "a.wav", 1, seconds=1.0, rate=16_000)
    encoder = MFCC()
    samples = encoder.decode(tmp_path / "a.wav", Limits())
    assert samples.shape == (RATE,) and samples.dtype == np.float32


def test_the_device_is_no_part_of_the_identity_and_must_exist():
    assert MFCC().identity() == MFCC(device="cuda").identity() != MFCC(hop=256).identity()
    with pytest.raises(OptionError, match="device = 'nowhere' cannot be used here"):
        MFCC(device="nowhere").encode_batch([tone(440)])


@pytest.mark.parametrize("options", [{"n_mfcc": 1}, {"n_mfcc": 65}, {"hop": 0}, {"hop": 2_000}])
def test_options_that_make_no_sense(options):
    with pytest.raises(OptionError, match="expected 2 <= n_mfcc <= n_mels and 0 < hop <= n_fft"):
        MFCC(**options)


def test_sounds_in_a_line_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    sounds = [rng.standard_normal(n).astype(np.float32) for n in (16_000, 700, 1, 24_321)]
    for hop in (256, 512, 1_000):
        together = spectra.features([torch.from_numpy(samples) for samples in sounds], n_fft=1_024, hop=hop)
        for samples, found in zip(sounds, together, strict=True):
            alone = features(samples, n_fft=1_024, hop=hop)
            assert all(np.allclose(part.numpy(), one, atol=1e-5) for part, one in zip(found, alone, strict=True))
            assert found[0].shape[1] == 1 + max(1_024, samples.size) // hop
