"""Media files → arrays, or a `MediaError` that says what is wrong."""

import struct
import time
import wave

import av
import numpy as np
import pytest
from PIL import Image
from rendered import LIMITS, RATE, clip, noise, tone, write_av, write_wav

from fuserec.data.ends import check_wav_length
from fuserec.data.media import Limits, check_media, read_audio, read_frames, read_image
from fuserec.errors import MediaError

# Pictures


def test_a_picture_is_rgb_and_is_stretched(tmp_path):
    pixels = noise()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", LIMITS), pixels)
    small = read_image(tmp_path / "a.png", LIMITS, side=16)
    assert small.shape == (16, 16, 3) and small.dtype == np.uint8


RED = (255, 0, 0)


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("gray.png", lambda: Image.new("L", (8, 8), 200), (200, 200, 200)),
        ("bits.png", lambda: Image.new("1", (8, 8), 1), (255, 255, 255)),
        ("palette.png", lambda: Image.new("RGB", (8, 8), RED).quantize(4), RED),
        ("clear.png", lambda: Image.new("RGBA", (8, 8), (0, 0, 255, 0)), (255, 255, 255)),
        ("half.png", lambda: Image.new("RGBA", (8, 8), (255, 0, 0, 128)), (255, 127, 127)),
        ("gray-alpha.png", lambda: Image.new("LA", (8, 8), (0, 0)), (255, 255, 255)),
        ("sixteen.png", lambda: Image.fromarray(np.full((8, 8), 100 * 257, np.uint16)), (100, 100, 100)),
        ("sixteen.tiff", lambda: Image.fromarray(np.full((8, 8), 100 * 257, np.int32)), (100, 100, 100)),
        ("ink.jpg", lambda: Image.new("CMYK", (8, 8), (0, 255, 255, 0)), RED),
        ("red.gif", lambda: Image.new("RGB", (8, 8), RED), RED),
        ("red.webp", lambda: Image.new("RGB", (8, 8), RED), RED),
        ("red.bmp", lambda: Image.new("RGB", (8, 8), RED), RED),
        ("red.tiff", lambda: Image.new("RGB", (8, 8), RED), RED),
    ],
)
def test_every_kind_of_picture_becomes_rgb(tmp_path, name, make, expected):
    make().save(tmp_path / name)
    pixels = read_image(tmp_path / name, LIMITS)
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 3


def test_sixteen_bits_keep_their_shades(tmp_path):
    ramp = np.repeat(np.arange(0, 65_536, 4096, dtype=np.uint16)[None], 4, axis=0)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert len(np.unique(read_image(tmp_path / "ramp.png", LIMITS))) == 16


def test_palette_with_transparency(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / "p.png", transparency=1)
    assert (read_image(tmp_path / "p.png", LIMITS) == 255).all()


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif", LIMITS)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp", "turned.tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright(tmp_path, name, orientation):
    upright = np.zeros((64, 32, 3), dtype=np.uint8)
    upright[:32, :16] = 255  # white in the upper left quarter
    turns = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1)}
    turns |= {6: np.rot90, 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: lambda a: np.rot90(a, -1)}
    tags = Image.Exif()
    tags[0x0112] = orientation
    stored = np.ascontiguousarray(turns[orientation](upright))
    Image.fromarray(stored).save(tmp_path / name, exif=tags)
    for side in (None, 16):
        pixels = read_image(tmp_path / name, LIMITS, side).astype(int)
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        quarters = [
            part.mean() for half in (pixels[:height], pixels[height:]) for part in (half[:, :width], half[:, width:])
        ]
        assert np.argmax(quarters) == 0 and quarters[0] > 200 > 50 > max(quarters[1:])


def test_broken_tags_do_not_cost_the_picture(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg", LIMITS).shape == (40, 30, 3)


def test_what_is_no_picture_is_refused(tmp_path):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    for name, content, reason in [
        ("text.png", b"this is a text", "UnidentifiedImageError"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "UnidentifiedImageError"),
        ("script.eps", script, "UnidentifiedImageError"),
        ("empty.png", b"", "empty"),
    ]:
        (tmp_path / name).write_bytes(content)
        for read in (lambda p: read_image(p, LIMITS), lambda p: check_media(p, "image", LIMITS)):
            with pytest.raises(MediaError, match=reason):
                read(tmp_path / name)
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path / "missing.png", LIMITS)
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path, LIMITS)
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(MediaError, match="floating-point"):
        read_image(tmp_path / "float.tiff", LIMITS)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_half_a_picture_is_refused(tmp_path, name):
    Image.fromarray(noise(200, 200)).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="cannot be decoded as a picture"):
        read_image(tmp_path / name, LIMITS, side=64)


def test_a_file_of_too_many_bytes_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(bytes(2_000))
    with pytest.raises(MediaError, match=r"larger than the limit of 0\.001 MB"):
        read_image(tmp_path / "a.png", Limits(megabytes=0.001))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff"])
def test_a_picture_that_was_cut_is_found_by_the_check(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(noise(100, 100)).save(path)
    whole = path.read_bytes()
    check_media(path, "image", LIMITS)
    for size in (60, len(whole) // 2, len(whole) - 200):
        path.write_bytes(whole[:size])
        with pytest.raises(MediaError, match="cannot be decoded as a picture"):
            check_media(path, "image", LIMITS)


def test_a_whole_picture_is_checked_without_decoding_it(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise()).save(tmp_path / name)
        check_media(tmp_path / name, "image", LIMITS)


def test_bytes_after_the_end_of_a_picture_do_no_harm(tmp_path):
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise()).save(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"more")
        check_media(tmp_path / name, "image", LIMITS)


# Sounds


def test_a_wav_keeps_its_samples(tmp_path):
    samples = tone()
    read = read_audio(write_wav(tmp_path / "a.wav", samples), LIMITS, RATE)
    assert read.dtype == np.float32 and read.shape == samples.shape
    assert np.abs(read - samples).max() < 1e-4


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_wav_of_any_width(tmp_path, width):
    samples = tone()
    path = tmp_path / "a.wav"
    if width == 1:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)
            file.setframerate(RATE)
            file.writeframes((samples * 127 + 128).astype(np.uint8).tobytes())
    else:
        write_wav(path, samples, width=width)
    assert np.abs(read_audio(path, LIMITS, RATE) - samples).max() < (0.02 if width == 1 else 1e-4)


@pytest.mark.parametrize("left", [0, 8, 8_000, 15_000])
def test_a_wav_that_was_cut_is_refused(tmp_path, left):
    path = write_wav(tmp_path / "a.wav", tone(1.0))
    path.write_bytes(path.read_bytes()[: 44 + 2 * left])
    for read in (lambda: read_audio(path, LIMITS, RATE), lambda: check_media(path, "audio", LIMITS)):
        with pytest.raises(MediaError, match="the file ends before its sound does|cannot be decoded"):
            read()


@pytest.mark.parametrize("promised", [0, 0xFFFFFFFF, 0x7FFFFFFF, 32_044])
def test_a_wav_written_into_a_pipe_promises_any_length(tmp_path, promised):
    path = write_wav(tmp_path / "a.wav", tone(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + struct.pack("<I", promised) + whole[44:])
    check_wav_length(path)


def test_other_chunks_of_a_wav_are_passed_over(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:12] + b"LIST\x03\0\0\0abc\0" + whole[12:])
    assert read_audio(path, LIMITS, RATE).size == RATE
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(MediaError, match="ends before its sound does"):
        read_audio(path, LIMITS, RATE)


def test_stereo_is_averaged_and_another_rate_is_resampled(tmp_path):
    left = tone(1.0, rate=8_000)
    path = write_wav(tmp_path / "a.wav", np.stack([1.5 * left, 0.5 * left], axis=1), rate=8_000)
    read = read_audio(path, LIMITS, RATE)
    assert abs(read.size - RATE) < 200
    inner = slice(2_000, 14_000)
    spectrum = np.abs(np.fft.rfft(read[inner]))
    assert abs(np.argmax(spectrum) * RATE / 12_000 - 440) < 2
    assert abs(np.abs(read[inner]).max() - 0.5) < 0.02


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.flac", "flac"), ("a.ogg", "libopus"), ("a.opus", "libopus"), ("a.mp3", "libmp3lame"), ("a.m4a", "aac")],
)
def test_a_compressed_sound_is_heard(tmp_path, name, codec):
    rate = 48_000 if codec == "libopus" else 44_100
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}: pip install --only-binary av --constraint constraints.txt av")
    read = read_audio(write_av(tmp_path / name, codec, tone(1.0, rate=rate), rate=rate), LIMITS, RATE)
    assert abs(read.size - RATE) < 0.15 * RATE
    inner = read[4_000:12_000]
    assert abs(np.argmax(np.abs(np.fft.rfft(inner))) * RATE / inner.size - 440) < 5
    assert 0.3 < np.abs(inner).max() < 0.7


def test_what_is_no_sound_is_refused(tmp_path):
    write_wav(tmp_path / "none.wav", np.zeros(0, np.float32))
    write_av(tmp_path / "silent.mp4", frames=clip())
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.mp3").write_bytes(b"this is a text")
    Image.fromarray(noise()).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp3")
    for name, reason in [
        ("none.wav", "no samples|cannot be decoded"),
        ("silent.mp4", "no sound track"),
        ("empty.wav", "empty"),
        ("text.mp3", "cannot be decoded as a sound"),
        ("picture.mp3", "cannot be decoded as a sound"),
    ]:
        with pytest.raises(MediaError, match=reason):
            read_audio(tmp_path / name, LIMITS, RATE)
    with pytest.raises(MediaError, match="no sound track"):
        check_media(tmp_path / "silent.mp4", "audio", LIMITS)
    check_media(tmp_path / "silent.mp4", "video", LIMITS)


def test_a_sound_that_is_too_long_is_refused(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(3.0))
    for read in (lambda limits: read_audio(path, limits, RATE), lambda limits: check_media(path, "audio", limits)):
        with pytest.raises(MediaError, match="longer than the limit of 2 s"):
            read(Limits(seconds=2))
    assert read_audio(path, Limits(seconds=4), RATE).size == 3 * RATE


def test_many_channels_are_averaged(tmp_path):
    samples = tone()
    path = write_wav(tmp_path / "a.wav", np.stack([samples] + [0 * samples] * 15, axis=1))
    assert np.abs(read_audio(path, LIMITS, RATE) - samples / 16).max() < 1e-4


@pytest.mark.parametrize("rate", [1, 5_000_000])
def test_an_impossible_rate_is_refused_at_once(tmp_path, rate):
    path = write_wav(tmp_path / "a.wav", tone(0.01), rate=rate)
    start = time.perf_counter()
    with pytest.raises(MediaError, match="sample rate outside|longer than the limit"):
        read_audio(path, LIMITS, RATE)
    assert time.perf_counter() - start < 1


def test_samples_that_are_not_numbers_are_refused(tmp_path):
    data = np.full(100, np.nan, dtype="<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, RATE, RATE * 4, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    (tmp_path / "nan.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with pytest.raises(MediaError, match="not numbers"):
        read_audio(tmp_path / "nan.wav", LIMITS, RATE)


# Videos


def test_a_video_gives_frames_spread_over_it(tmp_path):
    path = write_av(tmp_path / "a.mp4", samples=tone(1.0), frames=clip(40))
    frames = read_frames(path, LIMITS, 3, 32)
    assert frames.dtype == np.uint8 and frames.shape[1:] == (32, 32, 3) and 1 <= len(frames) <= 3
    assert abs(read_audio(path, LIMITS, RATE).size - RATE) < 3_000


def test_a_video_of_key_frames_only_needs_little_memory(tmp_path):
    shades = np.linspace(0, 255, 300).astype(np.uint8)
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        video = container.add_stream("mjpeg", rate=30)
        video.width = video.height = 32
        video.pix_fmt = "yuvj420p"
        for shade in shades:
            picture = np.full((32, 32, 3), shade)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    frames = read_frames(tmp_path / "a.avi", LIMITS, 4, 32)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - [0, 85, 170, 255]).max() < 16


def test_what_is_no_video_is_refused(tmp_path):
    whole = write_av(tmp_path / "a.mp4", frames=clip()).read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    write_wav(tmp_path / "sound.wav", tone())
    for name, reason in [("half.mp4", "cannot be decoded as a video"), ("sound.wav", "no pictures")]:
        with pytest.raises(MediaError, match=reason):
            read_frames(tmp_path / name, LIMITS, 2, 16)
    with pytest.raises(MediaError, match="more pixels than the limit"):
        read_frames(tmp_path / "a.mp4", Limits(pixels=1_000), 2, 16)
