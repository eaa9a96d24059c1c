"""Bombs, playlists and damaged files are refused: no crash, no warning, no other file opened, no long work."""

import time
import tracemalloc
import warnings

import numpy as np
import pytest
from PIL import Image
from rendered import LIMITS, RATE, bomb, clip, noise, tone, write_av, write_wav

from fuserec.data.media import Limits, check_media, read_audio, read_frames, read_image
from fuserec.errors import MediaError


def test_a_pixel_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = bomb(tmp_path / "bomb.png")
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    start = time.perf_counter()
    for read in (lambda: read_image(path, Limits()), lambda: check_media(path, "image", Limits())):
        with pytest.raises(MediaError, match="more pixels than the limit"):
            read()
    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_more_pixels_than_the_limit_without_a_warning(tmp_path):
    path = bomb(tmp_path / "large.png", side=10_000)  # between once and twice Pillow's own limit
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(MediaError, match="limit of 50,000,000"):
            read_image(path, Limits())
    assert not caught


@pytest.mark.parametrize("name", ["a.mp4", "a.mp3", "a.m3u8", "a.wav", "a.txt"])
def test_a_playlist_does_not_open_other_files(tmp_path, name):
    write_wav(tmp_path / "secret.wav", tone())
    write_av(tmp_path / "secret.ts", "mp2", tone(), frames=clip())
    playlists = [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.wav\n",
        "ffconcat version 1.0\nfile 'secret.ts'\n",
        f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>secret.ts</BaseURL></MPD>',
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 1234 RTP/AVP 0\na=control:{tmp_path}/secret.ts\n",
    ]
    for playlist in playlists:
        (tmp_path / name).write_text(playlist)
        for read in (
            lambda p: read_audio(p, LIMITS, RATE),
            lambda p: read_frames(p, LIMITS, 2, 16),
            lambda p: check_media(p, "audio", LIMITS),
        ):
            with pytest.raises(MediaError, match="cannot be decoded"):
                read(tmp_path / name)


def mutations(whole, n, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 9)):
            reach = min(len(whole), 400) if rng.random() < 0.6 else len(whole)  # headers more often than the rest
            damaged[rng.integers(reach)] = rng.integers(256)
        yield bytes(damaged[: rng.integers(1, len(whole))] if rng.random() < 0.2 else damaged)


@pytest.mark.parametrize("kind", ["png", "jpg", "tiff", "gif", "wav", "mp4"])
def test_a_damaged_file_is_read_or_refused(tmp_path, kind, capfd):
    path = tmp_path / f"a.{kind}"
    if kind == "wav":
        write_wav(path, tone(0.25))
    elif kind == "mp4":
        write_av(path, samples=tone(), frames=clip(5))
    else:
        Image.fromarray(noise()).save(path)

    def image():
        assert read_image(path, LIMITS, 32).shape == (32, 32, 3)

    def audio():
        assert read_audio(path, LIMITS, RATE).ndim == 1

    def video():
        assert read_frames(path, LIMITS, 2, 32).shape[1:] == (32, 32, 3)

    reads = {"wav": [audio], "mp4": [audio, video]}.get(kind, [image])
    outcomes = {"read": 0, "refused": 0}
    whole = path.read_bytes()
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for damaged in mutations(whole, 300 if kind in ("png", "wav", "mp4") else 100, seed=3):
            path.write_bytes(damaged)
            for read in reads:
                try:
                    read()
                    outcomes["read"] += 1
                except MediaError:
                    outcomes["refused"] += 1
    assert not caught
    assert time.perf_counter() - start < 20
    assert outcomes["refused"] > 10
    if kind != "tiff":  # libtiff writes to standard error by itself
        assert capfd.readouterr() == ("", "")
