"""SpectralSound: contrast and chroma against librosa's numbers, peaks and formants of known sounds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from fuserec.encoders.audio import MFCC, SpectralSound
from fuserec.encoders.formants import formants, poles, predictor
from fuserec.encoders.spectra import RATE, Line, chroma, contrast, peaks
from fuserec.errors import OptionError

REFERENCE = Path(__file__).parents[1] / "references" / "librosa_mel.npz"
INNER = slice(3, -3)  # frames that do not reach into the silence around the sound
VOWELS = {"a": (700, 1220, 2600), "i": (310, 2020, 2960), "u": (350, 1250, 2200)}  # Hz (Klatt 1980, table II)


def tone(*frequencies, seconds=1.0):
    """Sines of these frequencies, each half as loud as the one before."""
    time = np.arange(int(seconds * RATE)) / RATE
    return sum(0.4 / 2**n * np.sin(2 * np.pi * hz * time) for n, hz in enumerate(frequencies)).astype(np.float32)


def noise(seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE)).astype(np.float32)


def vowel(resonances, pitch=100, bandwidth=80):
    """A second of pulses that fall by 6 dB an octave, as those of a voice do at the mouth, through resonators."""
    samples = np.zeros(RATE)
    samples[:: RATE // pitch] = 1
    samples = lfilter([1], [1, -0.97], samples)
    for hz in (*resonances, 3_500, 4_500):
        radius = np.exp(-np.pi * bandwidth / RATE)
        samples = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hz / RATE), radius**2], samples)
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def power_of(samples, n_fft=1024):
    line = Line([torch.from_numpy(samples)], n_fft=n_fft, hop=512)
    return line.by_sound(torch.cat(list(line.power()), dim=1))[0]


def test_contrast_and_chroma_are_those_of_librosa():
    with np.load(REFERENCE) as file:
        librosa = dict(file)
    power = power_of(librosa["samples"], n_fft=2048)
    power = power + 1e-6 * power.max()
    assert np.abs(contrast(power).numpy() - librosa["contrast"]).max() < 1e-3  # dB
    assert np.abs(chroma(power).numpy() - librosa["chroma"]).max() < 1e-5


def test_contrast_of_tones_noise_and_silence():
    tonal, noisy = contrast(power_of(tone(300, 600, 1_000))), contrast(power_of(noise()))
    assert (tonal[1:4, INNER] > 30).all()  # dB, in the octaves with a tone
    assert noisy[5].mean() < tonal[3].mean() - 20
    assert not contrast(power_of(np.zeros(RATE, np.float32))).any()


@pytest.mark.parametrize(("hz", "pitch_class"), [(440, 9), (880, 9), (523.25, 0), (1_479.98, 6), (3_951.07, 11)])
def test_a_note_has_its_pitch_class(hz, pitch_class):
    classes = chroma(power_of(tone(hz)))[:, INNER]
    assert (classes.argmax(dim=0) == pitch_class).all() and torch.allclose(classes.amax(dim=0), torch.tensor(1.0))


def test_peaks_of_tones_are_their_frequencies_and_shares():
    found = peaks(power_of(tone(1_000, 2_503, 5_000)), 3)[:, INNER]
    assert np.abs(found[:3].numpy() * RATE / 2 - np.array([[1_000], [2_503], [5_000]])).max() < 2  # Hz; a bin has 15.6
    assert torch.allclose(found[3:].mean(dim=1), torch.tensor([1, 1 / 4, 1 / 16]) * found[3].mean(), rtol=0.1)


def test_peaks_that_are_not_there_are_zero():
    assert not peaks(power_of(np.zeros(RATE, np.float32)), 5).any()
    spectrum = torch.tensor([0.0, 1, 3, 1, 0, 0, 0, 0, 0])[:, None]
    assert peaks(spectrum, 3)[:, 0].tolist() == pytest.approx([2 / 8, 0, 0, 3 / 5, 0, 0])


def test_the_predictor_solves_its_equations():
    samples = noise().reshape(4, -1) + vowel(VOWELS["a"]).reshape(4, -1)
    lags = np.stack([[row[: row.size - lag] @ row[lag:] for lag in range(11)] for row in samples], axis=1)
    found = predictor(torch.from_numpy(lags).double()).numpy()
    for column in range(4):
        assert np.allclose(found[1:, column], solve_toeplitz(lags[:-1, column], -lags[1:, column]), atol=1e-6)
    roots = poles(torch.from_numpy(found)).numpy()
    for column in range(4):
        assert np.allclose(np.poly(roots[:, column]).real, found[:, column])


@pytest.mark.parametrize("name", VOWELS)
@pytest.mark.parametrize("pitch", [80, 100, 125])
def test_formants_of_known_vowels(name, pitch):
    found = formants(power_of(vowel(VOWELS[name], pitch)))[:, INNER].numpy()
    assert found[0].mean() > 0.9
    frequencies, widths = found[1:4, found[0] > 0].mean(axis=1), found[4:, found[0] > 0].mean(axis=1)
    assert np.abs(frequencies - VOWELS[name]).max() < 25  # Hz; the harmonics are 80 to 125 Hz apart
    assert ((40 < widths) & (widths < 160)).all()  # Hz


def test_noise_and_silence_have_no_formants():
    assert formants(power_of(noise()))[0].mean() < 0.05
    assert not formants(power_of(np.zeros(RATE, np.float32))).any()


def test_blocks_are_as_documented_and_the_first_three_are_those_of_mfcc():
    sounds = [vowel(VOWELS["a"]), noise()]
    vectors, plain = SpectralSound().encode_batch(sounds), MFCC().encode_batch(sounds)
    assert vectors.shape == (2, 90 + 12 + 24 + 20 + 10) and vectors.dtype == np.float32
    assert np.allclose(vectors[:, :90] * 7**0.5, plain * 3**0.5, atol=1e-5)
    for start, stop in ((90, 102), (102, 126), (126, 146), (146, 156)):
        assert np.linalg.norm(vectors[0, start:stop]) == pytest.approx(7**-0.5, abs=1e-5)
    share, *rest = vectors[0, 146:] * (1 / vectors[0, 146])
    assert np.abs(np.array(rest[:3]) * 5_000 - VOWELS["a"]).max() < 150
    assert SpectralSound(n_peaks=2, deltas=False).encode_batch(sounds).shape == (2, 64 + 12 + 24 + 8 + 10)


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.ones(RATE, np.float32), np.ones(1, np.float32)])
def test_silence_and_single_samples_are_no_failure(samples):
    vector = SpectralSound().encode_batch([samples])[0]
    assert np.isfinite(vector).all() and np.linalg.norm(vector) <= 1 + 1e-5


def test_same_pitch_is_nearer_by_chroma_and_same_vowel_by_formants():
    low_a, high_a, low_i = SpectralSound().encode_batch(
        [vowel(VOWELS[n], p) for n, p in (("a", 100), ("a", 125), ("i", 100))]
    )
    away = lambda first, second, part: np.linalg.norm(first[part] - second[part])  # noqa: E731
    assert away(low_a, high_a, slice(147, 150)) < 0.3 * away(low_a, low_i, slice(147, 150))
    c, d, high_c = SpectralSound().encode_batch([tone(523.25), tone(587.33), tone(1_046.5)])
    assert away(c, high_c, slice(102, 114)) < 0.5 * away(c, d, slice(102, 114))


@pytest.mark.parametrize("n_peaks", [0, 256])
def test_numbers_of_peaks_that_make_no_sense(n_peaks):
    with pytest.raises(OptionError, match="expected 1 <= n_peaks < n_fft / 4"):
        SpectralSound(n_peaks=n_peaks)
