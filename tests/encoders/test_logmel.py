"""LogMelCNN: its loss against a slow loop, what it learns about planted timbres, and what it leaves alone."""

import media
import numpy as np
import pytest
import torch

from fuserec.device import seeded
from fuserec.encoders.encoder import encode
from fuserec.encoders.logmel import MASK, LogMelCNN, _view, info_nce, log_mel
from fuserec.encoders.spectra import RATE, features
from fuserec.errors import NotFittedError, OptionError

TIMBRES = 6


def notes(timbre, rng, seconds=1.2):
    """Notes of one timbre; pitch, length and loudness are drawn, so that they tell nothing."""
    played = []
    while sum(map(len, played)) < seconds * RATE:
        time = np.arange(int(rng.uniform(0.1, 0.3) * RATE)) / RATE
        hz = rng.uniform(150, 600)
        sine = lambda times, hz=hz, time=time: np.sin(2 * np.pi * hz * times * time)  # noqa: E731
        note = (
            sine(1),
            sum(sine(k) / k for k in range(1, 12)),
            sum(sine(k) / k for k in range(1, 16, 2)),
            rng.standard_normal(time.size) * sine(1),
            np.sin(2 * np.pi * hz * time + 3 * sine(1.41)),
            sine(1) * (np.sin(2 * np.pi * 25 * time) > 0),
        )[timbre]
        played.append(note * np.exp(-rng.uniform(1, 6) * time) * 10 ** (rng.uniform(-20, 0) / 20))
    samples = np.concatenate(played)[: int(seconds * RATE)]
    loud = 10 ** (rng.uniform(-30, -3) / 20)
    return (loud * samples / np.abs(samples).max() + 1e-3 * rng.standard_normal(samples.size)).astype(np.float32)


def same_timbre(vectors, timbres, k=5):
    """The share of the k nearest neighbors, by cosine around the mean, that have the item's timbre."""
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return (timbres[np.argsort(-similarity, axis=1)[:, :k]] == timbres[:, None]).mean()


def quick(**options):
    return LogMelCNN(**{"seconds": 0.5, "epochs": 2, "batch": 4, "dim": 16, **options})


@pytest.fixture(scope="module")
def sounds():
    rng = np.random.default_rng(0)
    return [notes(index % TIMBRES, rng) for index in range(6)]


def test_sounds_of_one_timbre_become_neighbors():
    rng = np.random.default_rng(0)
    timbres = np.arange(150) % TIMBRES
    played = [notes(timbre, rng) for timbre in timbres]
    learned_from, held_out, truth = played[:60], played[60:], timbres[60:]
    options = {"seconds": 0.5, "batch": 30}
    untrained = LogMelCNN(rate=1e-9, **options | {"epochs": 8}).fit(learned_from).encode_batch(held_out)
    trained = LogMelCNN(**options).fit(learned_from).encode_batch(held_out)
    assert same_timbre(trained, truth) > same_timbre(untrained, truth) + 0.05
    assert same_timbre(trained, truth) > 4.5 / TIMBRES  # by chance: 1 / TIMBRES


def test_info_nce_against_a_slow_loop():
    vectors = np.random.default_rng(0).standard_normal((6, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    loss = 0.0
    for row in range(6):
        other = row + 1 if row % 2 == 0 else row - 1
        among = sum(np.exp(unit[row] @ unit[column] / 0.3) for column in range(6) if column != row)
        loss -= np.log(np.exp(unit[row] @ unit[other] / 0.3) / among) / 6
    assert float(info_nce(torch.from_numpy(vectors), 0.3)) == pytest.approx(loss)


def test_spectrograms_are_those_of_the_other_encoders(sounds):
    mel, _ = features([torch.from_numpy(sounds[0])], n_fft=1024, hop=320, n_mels=64)[0]
    found = log_mel(torch.from_numpy(np.stack(sounds)), 64)
    assert found.shape == (6, 64, 61)
    assert torch.allclose(found[0], 10 * mel.clamp(min=1e-10).log10(), atol=1e-3)


def test_views_differ_in_noise_gain_and_masks(sounds):
    windows = torch.from_numpy(np.stack([sounds[0]] * 20))
    with seeded(0):
        views = _view(windows, 64)
    with seeded(0):
        assert torch.equal(views, _view(windows, 64))
    assert len({float(view.mean()) for view in views}) == 20
    rows, columns = ((views.amax(dim=dim) == views.amin(dim=dim)).sum(dim=1) for dim in (2, 1))  # of one value
    assert 0 < rows.max() <= round(MASK * 64) and 0 < columns.max() <= round(MASK * 61)
    assert torch.isfinite(_view(torch.zeros((2, RATE)), 64)).all()


def test_a_seed_says_all_and_the_state_outside_is_left(sounds):
    before = torch.random.get_rng_state()
    first, second, other = quick().fit(sounds), quick().fit(sounds), quick(seed=1).fit(sounds)
    first.encode_batch(sounds)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.state() == second.state() != other.state() and quick().state() == ""
    assert first.identity() == second.identity() != quick().identity()
    assert all(isinstance(weights, np.ndarray) for weights in first.weights_.values())


def test_weights_are_all_that_is_needed(sounds):
    fitted, copy = quick().fit(sounds), quick()
    copy.weights_ = {name: weights.copy() for name, weights in fitted.weights_.items()}
    assert np.array_equal(fitted.encode_batch(sounds), copy.encode_batch(sounds))
    assert fitted.encode_batch(sounds).shape == (6, 16) and fitted.encode_batch(sounds).dtype == np.float32


def test_long_sounds_are_the_mean_of_their_windows_and_short_ones_are_repeated(sounds):
    encoder = quick().fit(sounds)
    half = RATE // 2
    whole, first, second = encoder.encode_batch([sounds[0][: 2 * half], sounds[0][:half], sounds[0][half : 2 * half]])
    assert np.allclose(whole, (first + second) / 2, atol=1e-5)
    short, long = encoder.encode_batch([sounds[0][:4_000], np.tile(sounds[0][:4_000], 2)])
    assert np.array_equal(short, long)
    assert np.isfinite(encoder.encode_batch([np.zeros(1, np.float32)])).all()


@pytest.mark.parametrize("n_sounds", [0, 1, 2])
def test_few_sounds_are_no_failure(n_sounds, sounds):
    assert np.isfinite(quick().fit(sounds[:n_sounds]).encode_batch(sounds)).all()


def test_it_learns_from_files_and_passes_over_broken_ones(tmp_path):
    names = [media.sound(tmp_path / f"{seed}.wav", seed) for seed in range(4)]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    whole = encode(media.dataset(names, "audio", tmp_path), {"audio": quick()})
    broken = encode(media.dataset([*names, "broken.wav"], "audio", tmp_path), {"audio": quick()})
    assert broken.embeddings["audio"].present.tolist() == [True] * 4 + [False]
    assert len(broken.set_aside) == 1 and not whole.set_aside
    warm = encode(media.dataset(names, "audio", tmp_path, warm=[0, 1]), {"audio": quick()})
    assert warm.embeddings["audio"].made_by != whole.embeddings["audio"].made_by
    assert warm.embeddings["audio"].present.all()


def test_at_most_so_many_sounds_are_learned_from(sounds):
    asked = []

    class Counted(list):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    quick(max_sounds=3).fit(Counted(sounds))
    assert len(set(asked)) == len(asked) == 3


def test_before_fit_it_says_so(sounds):
    with pytest.raises(NotFittedError, match="LogMelCNN learns from the catalog's sounds: call fit first"):
        LogMelCNN().encode_batch(sounds)


@pytest.mark.parametrize(
    "options",
    [{"dim": 0}, {"epochs": 0}, {"temperature": 0}, {"rate": 0}, {"n_mels": 15}, {"seconds": 0.4}],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(OptionError, match="expected n_mels >= 16, seconds >= 0.5 and the others above 0"):
        LogMelCNN(**options)


@pytest.mark.parametrize("options", [{"batch": 1}, {"max_sounds": 1}])
def test_one_sound_cannot_be_told_apart(options):
    with pytest.raises(OptionError, match="expected 2 or more: sounds are told apart"):
        LogMelCNN(**options)
