"""Media files → arrays, within limits. Whatever is wrong with a file is a `MediaError` that says what."""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fuserec.data.ends import check_wav_length, ends_whole
from fuserec.errors import MediaError

# Playlists and concatenation scripts make FFmpeg open other files and hosts, so only real containers are let in.
CONTAINERS = "aac,aiff,asf,avi,caf,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,w64,wav,webm"
# Only raster formats: Pillow would run Ghostscript for EPS.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
# What undoes the orientation that a camera notes in tag 0x0112 of EXIF 2.3, table 6.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
RATES = (1_000, 768_000)  # Hz; for others, which only damaged files claim, resampling takes minutes and gigabytes
BLOCK = 1 << 16  # samples of a sound that are read at a time
KINDS = {"image": "picture", "audio": "sound", "video": "video"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest media file that is decoded; a larger one is set aside, not cut."""

    megabytes: float = 500.0
    pixels: int = 50_000_000
    seconds: float = 1_200.0


@contextmanager
def _errors_of(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except MediaError:
        raise
    except MemoryError:
        raise MediaError(f"the {kind} does not fit in memory") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow's own limit, beyond ours
        raise MediaError(f"the {kind} has more pixels than the limit of {most:,} for any picture") from None
    except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, struct.error, av errors and more
        raise MediaError(f"cannot be decoded as a {kind} ({type(error).__name__})") from error


def check_size(path: Path, limits: Limits) -> None:
    """Raise `MediaError` for a file that is not there, must not be read, is empty, or is larger than the limit."""
    try:
        found = path.stat()
    except PermissionError:  # of a folder above it
        raise MediaError("no permission to read it") from None
    except (OSError, ValueError):
        raise MediaError("no such file") from None
    if not S_ISREG(found.st_mode):
        raise MediaError("no such file")
    if not os.access(path, os.R_OK):
        raise MediaError("no permission to read it")
    size = found.st_size
    if size == 0:
        raise MediaError("the file is empty (0 bytes)")
    if size > limits.megabytes * 1e6:
        raise MediaError(f"the file is larger than the limit of {limits.megabytes:g} MB")


def read_image(path: Path, limits: Limits, side: int | None = None) -> NDArray[np.uint8]:
    """Picture file → RGB uint8 (height, width, 3), upright; the first frame; transparent pixels become white.

    With `side`, the picture is stretched to (side, side, 3); a large JPEG is then decoded at a fraction of its size.
    """
    with _open_image(path, limits) as (image, turn):
        if side is not None:
            image.draft("RGB", (2 * side, 2 * side))
        if image.mode == "F":
            raise MediaError("the picture has floating-point pixels, whose range is not known")
        if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would cut at 255
            picture = Image.fromarray((np.asarray(image).clip(0, 65_535) // 257).astype(np.uint8)).convert("RGB")
        elif image.has_transparency_data:
            layer = image.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        else:
            picture = image.convert("RGB")
        if side is not None:
            picture = picture.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(picture if turn is None else picture.transpose(turn))


_opening = Lock()  # which warnings are shown is one setting for all threads


@contextmanager
def _open_image(path: Path, limits: Limits) -> Iterator[tuple[Image.Image, Image.Transpose | None]]:
    check_size(path, limits)
    with _errors_of(path, "picture"):
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged tags, and many pixels, which are looked at below
            image = Image.open(path, formats=FORMATS)
            turn = _turn(image)
        with image:
            if image.width * image.height > limits.pixels:
                raise MediaError(f"the picture has more pixels than the limit of {limits.pixels:,}")
            yield image, turn


def _turn(image: Image.Image) -> Image.Transpose | None:
    tags = Image.Exif()
    try:
        if image.format == "TIFF":  # Pillow turns these itself; looking now keeps its warnings where they are ignored
            image.getexif()
        tags.load(image.info.get("exif") or b"")
    except Exception:  # whatever is wrong with the tags, the picture may be sound
        return None
    return UPRIGHT.get(tags.get(0x0112, 1))


@contextmanager
def _open_av(path: Path, kind: str, limits: Limits) -> Iterator[Any]:
    import av

    check_size(path, limits)
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    with _errors_of(path, kind), av.open(str(path), options=options, metadata_errors="ignore") as container:
        if container.duration is not None and container.duration / av.time_base > limits.seconds:
            raise MediaError(f"the {kind} is longer than the limit of {limits.seconds:g} s")
        yield container


def read_audio(path: Path, limits: Limits, rate: int) -> NDArray[np.float32]:
    """Sound file, or video file with a sound track → mono float32 (n_samples,) in [-1, 1] at `rate` Hz."""
    import soxr

    check_size(path, limits)
    with _errors_of(path, "sound"):
        check_wav_length(path)
    with _open_wav(path) or _open_sound_track(path, limits) as (found, blocks):
        resampler = soxr.ResampleStream(found, rate, 1, dtype="float32")
        resampled: list[NDArray[np.float32]] = []
        n_samples = 0
        for block in blocks:
            n_samples += block.size
            if n_samples > limits.seconds * found:
                raise MediaError(f"the sound is longer than the limit of {limits.seconds:g} s")
            if not np.isfinite(block).all():
                raise MediaError("the sound has samples that are not numbers")
            resampled.append(resampler.resample_chunk(block))
        if not n_samples:
            raise MediaError("the sound has no samples")
        resampled.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(resampled)


Sound = tuple[int, Iterator[NDArray[np.float32]]]  # its rate in Hz, and its samples: mono float32, block by block


def _open_wav(path: Path) -> AbstractContextManager[Sound] | None:
    """A WAV file by libsndfile, which opens it ten times as fast as FFmpeg; None where FFmpeg has to judge."""
    import soundfile

    if path.suffix.lower() != ".wav":
        return None
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, ValueError):
        return None
    honest = 0 < file.frames * file.channels <= 4 * path.stat().st_size  # else the header promises too much
    if not honest or not RATES[0] <= file.samplerate <= RATES[1]:
        file.close()
        return None
    return _wav(path, file)


@contextmanager
def _wav(path: Path, file: Any) -> Iterator[Sound]:
    with _errors_of(path, "sound"), file:
        blocks = file.blocks(blocksize=BLOCK, dtype="float32", always_2d=True)  # (n, n_channels)
        yield int(file.samplerate), (_mono(block) for block in blocks)


@contextmanager
def _open_sound_track(path: Path, limits: Limits) -> Iterator[Sound]:
    import av

    with _open_av(path, "sound", limits) as container:
        _check_sound(container)
        # To float only, rate and channels as they are: FFmpeg's own mixing to mono would be 3 dB too loud, and its
        # resampling of odd rates takes ten times as long as decoding.
        converter = av.AudioResampler(format="flt", frame_size=BLOCK)  # few large blocks: each costs Python calls
        frames = chain(container.decode(audio=0), [None])  # None: what the converter still holds
        converted = (block for frame in frames for block in converter.resample(frame))
        yield (
            int(container.streams.audio[0].rate),
            (_mono(block.to_ndarray().reshape(-1, block.layout.nb_channels)) for block in converted),
        )


def _mono(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples (n, n_channels) → their mean over the channels (n,); of one channel, without a copy."""
    mono: NDArray[np.float32] = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    return mono


def _check_sound(container: Any) -> None:
    if not container.streams.audio:
        raise MediaError("the file has no sound track")
    if container.streams.audio[0].codec_context is None:
        raise MediaError("the sound is in a format that is not known")
    rate = container.streams.audio[0].rate or 0  # Hz
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(f"the sound claims a sample rate outside of {RATES[0]:,} to {RATES[1]:,} Hz")


def read_frames(path: Path, limits: Limits, n_frames: int, side: int, *, key_frames: bool = True) -> NDArray[np.uint8]:
    """Video file → `n_frames` frames spread evenly over its key frames: RGB uint8 (at most n_frames, side, side, 3).

    Without `key_frames`, over all of its frames, each of which is then decoded.
    """
    from av.video.reformatter import VideoReformatter

    scaler: Any = VideoReformatter()  # one for all frames: to set one up takes longer than to scale a frame
    with _open_av(path, "video", limits) as container:
        if not container.streams.video:
            raise MediaError("the file has no pictures")
        stream = container.streams.video[0]
        if stream.codec_context.width * stream.codec_context.height > limits.pixels:
            raise MediaError(f"the video has more pixels than the limit of {limits.pixels:,}")
        stream.codec_context.skip_frame = "NONKEY" if key_frames else "DEFAULT"
        frames: list[NDArray[np.uint8]] = []
        every = 1
        for index, frame in enumerate(container.decode(stream)):
            if index % every == 0:
                frames.append(scaler.reformat(frame, side, side, "rgb24").to_ndarray())
            if len(frames) >= 16 * n_frames:  # a long video: keep every other one from here on
                frames, every = frames[::2], 2 * every
        if not frames:
            raise MediaError("the video has no frame that can be decoded")
        picked = np.unique(np.linspace(0, len(frames) - 1, n_frames).round().astype(int))
        return np.stack([frames[index] for index in picked])


def check_media(path: Path, modality: str, limits: Limits) -> None:
    """Raise `MediaError` when header or end of a file tell that it cannot be decoded, or not within the limits."""
    kind = KINDS[modality]
    if modality == "image":
        with _open_image(path, limits) as (image, _):
            if not ends_whole(path, image.format):
                image.load()  # decoding tells; it raises where pixels are missing
            return
    with _open_av(path, kind, limits) as container:
        check_wav_length(path)
        if modality == "audio":
            _check_sound(container)
        elif not container.streams.video:
            raise MediaError("the file has no pictures")
