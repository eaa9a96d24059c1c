"""What the toy shop's items look and sound like: pictures, jingles and clips in which planted attributes are visible.

A picture shows the kind of product, the theme (its palette) and the pattern (its texture); a jingle lets hear the theme
(its scale and melody) and the timbre. All values of an attribute are row numbers into the tables here.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 96  # pixels of a picture and of a clip
RATE = 16_000  # Hz
FRAMES = 12  # of a clip, at as many frames a second
SCALE = 2  # pictures are drawn this much larger, then made smaller, for smooth edges

THEMES = ("ember", "ocean", "forest", "sun", "dusk", "snow")
PATTERNS = ("stripes", "dots", "checks", "rings", "zigzag", "plain")
TIMBRES = ("sine", "square", "saw", "plucked", "noisy", "tremolo")

Color = tuple[int, int, int]
PALETTES: tuple[tuple[Color, Color, Color, Color], ...] = (  # wall, light and dark of the product, its details
    ((250, 205, 180), (255, 150, 90), (176, 34, 34), (92, 22, 20)),
    ((190, 226, 244), (110, 196, 232), (18, 84, 160), (12, 44, 92)),
    ((206, 230, 190), (142, 200, 106), (34, 104, 50), (22, 60, 34)),
    ((255, 246, 196), (255, 222, 84), (222, 158, 10), (128, 92, 8)),
    ((230, 204, 242), (208, 140, 226), (106, 40, 150), (60, 20, 92)),
    ((238, 240, 242), (206, 210, 214), (92, 96, 102), (40, 42, 46)),
)
SCALES: tuple[tuple[int, tuple[int, ...]], ...] = (  # MIDI note of the root, and the melody in semitones above it
    (45, (0, 3, 5, 3)),
    (52, (0, 4, 7, 4)),
    (59, (0, 2, 5, 2)),
    (66, (4, 2, 0, 4)),
    (73, (5, 3, 0, 1)),
    (80, (0, 7, 4, 7)),
)

# The silhouette of each kind of product in hundredths of the picture: its patterned body, then its plain details.
Part = tuple[str, tuple[int, ...]]
SHAPES: dict[str, tuple[tuple[Part, ...], tuple[Part, ...]]] = {
    "lantern": (
        (("polygon", (30, 26, 70, 26, 82, 50, 74, 82, 26, 82, 18, 50)),),
        (("arc", (38, 6, 62, 30)), ("rectangle", (28, 20, 72, 27)), ("rectangle", (24, 80, 76, 88))),
    ),
    "mug": (
        (("rounded", (16, 24, 72, 86)),),
        (("arc", (60, 36, 92, 70)), ("rectangle", (16, 20, 72, 27))),
    ),
    "kite": (
        (("polygon", (50, 6, 86, 42, 50, 84, 14, 42)),),
        (("line", (50, 6, 50, 84)), ("line", (14, 42, 86, 42)), ("polygon", (50, 84, 58, 94, 42, 94))),
    ),
    "vase": (
        (("polygon", (38, 14, 62, 14, 60, 32, 50, 40, 40, 32)), ("ellipse", (16, 28, 84, 88))),
        (("rectangle", (34, 8, 66, 15)), ("rectangle", (34, 84, 66, 90))),
    ),
    "bell": (
        (("pieslice", (20, 12, 80, 92)), ("polygon", (20, 50, 80, 50, 92, 78, 8, 78))),
        (("ellipse", (43, 5, 57, 17)), ("rectangle", (8, 76, 92, 82)), ("ellipse", (42, 80, 58, 94))),
    ),
    "boat": (
        (("polygon", (46, 8, 46, 64, 8, 64)), ("polygon", (54, 16, 54, 64, 92, 64))),
        (("polygon", (6, 68, 94, 68, 80, 90, 20, 90)), ("line", (50, 6, 50, 70))),
    ),
    "cushion": (
        (("rounded", (10, 18, 90, 84)),),
        (
            ("ellipse", (5, 13, 17, 25)),
            ("ellipse", (83, 13, 95, 25)),
            ("ellipse", (5, 77, 17, 89)),
            ("ellipse", (83, 77, 95, 89)),
        ),
    ),
    "clock": (
        (("ellipse", (10, 10, 90, 90)),),
        (("ring", (10, 10, 90, 90)), ("line", (50, 50, 50, 24)), ("line", (50, 50, 68, 58))),
    ),
}
KINDS = tuple(SHAPES)


def paint(kind: str, theme: int, pattern: int, rng: np.random.Generator) -> Image.Image:
    """A kind of product, its theme and pattern → its poster: an RGB picture of SIDE x SIDE pixels."""
    big = SIDE * SCALE
    wall, light, dark, detail = (
        np.clip(color + rng.normal(0.0, 7.0, 3), 0, 255) for color in np.array(PALETTES[theme])
    )
    texture = _texture(PATTERNS[pattern], big, rng)
    shade = 0.3 * texture + np.linspace(0.0, 0.35, big, dtype=np.float32)[:, None]  # the wall is darker below
    shift = rng.integers(-3, 4, 2)
    body, details = SHAPES[kind]
    picture = Image.composite(_sheet(wall * 0.68), _sheet(np.minimum(wall * 1.04, 255)), _gray(shade))
    picture.paste((30, 30, 40), mask=_mask((("ellipse", (14, 84, 86, 96)),), shift).point(lambda value: value // 4))
    handles = tuple(part for part in details if part[0] == "arc")  # these go behind the body
    picture.paste(_sheet(detail), mask=_mask(handles, shift))
    picture.paste(Image.composite(_sheet(dark), _sheet(light), _gray(texture)), mask=_mask(body, shift))
    picture.paste(_sheet(detail), mask=_mask(tuple(part for part in details if part[0] != "arc"), shift))
    return picture.resize((SIDE, SIDE), Image.Resampling.BOX)


def _sheet(color: NDArray[np.float64]) -> Image.Image:
    red, green, blue = (int(part) for part in color)
    return Image.new("RGB", (SIDE * SCALE, SIDE * SCALE), (red, green, blue))


def _gray(level: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray((level * 255).astype(np.uint8))


def _texture(pattern: str, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A pattern's name → how dark each pixel is: float32 (side, side) in [0, 1]."""
    angle, period = rng.normal(0.0, 0.06), side * rng.uniform(0.095, 0.115)
    start = rng.uniform(-0.5, 0.5, 2) * period - side / 2
    line = np.arange(side, dtype=np.float32)
    x, y = (line + np.float32(start[0]))[None, :], (line + np.float32(start[1]))[:, None]
    cos, sin = np.float32(np.cos(angle) / period), np.float32(np.sin(angle) / period)
    u, v = x * cos + y * sin, y * cos - x * sin  # (side, side) each: in periods, turned a little
    if pattern == "stripes":
        level = np.cos(2 * np.pi * u)
    elif pattern == "dots":
        level = 1.3 - 4.0 * np.hypot((u * 0.8) % 1 - 0.5, (v * 0.8) % 1 - 0.5)
    elif pattern == "checks":
        level = np.cos(np.pi * u) * np.cos(np.pi * v) * 2.0
    elif pattern == "rings":
        level = np.cos(2 * np.pi * np.hypot(u, v))
    elif pattern == "zigzag":
        level = np.cos(2 * np.pi * (v + 2.0 * np.abs((u * 0.45) % 1 - 0.5)))
    else:
        level = 0.05 * v - 0.5
    darkness: NDArray[np.float32] = np.clip(0.5 + 1.5 * level, 0.0, 1.0)
    return darkness


def _mask(parts: tuple[Part, ...], shift: NDArray[np.int64]) -> Image.Image:
    """Parts of a silhouette, moved by hundredths of the picture → a mask ("L") of the size that is drawn."""
    side = SIDE * SCALE
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    for form, corners in parts:
        box = [(corner + shift[index % 2]) * side / 100 for index, corner in enumerate(corners)]
        match form:
            case "polygon":
                draw.polygon(box, fill=255)
            case "ellipse":
                draw.ellipse(box, fill=255)
            case "rectangle":
                draw.rectangle(box, fill=255)
            case "rounded":
                draw.rounded_rectangle(box, radius=side * 0.12, fill=255)
            case "pieslice":
                draw.pieslice(box, 180, 360, fill=255)
            case "arc" | "ring":
                draw.ellipse(box, outline=255, width=side // 20)
            case _:
                draw.line(box, fill=255, width=side // 36)
    return mask


def compose(theme: int, timbre: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A theme and a timbre → a jingle of one second: float32 (RATE,) in [-1, 1]."""
    root, melody = SCALES[theme]
    first = int(rng.integers(len(melody)))  # the melody is a round: it may begin at each of its notes
    notes = root + np.roll(np.array(melody), -first) + rng.normal(0.0, 0.1)
    size = RATE // len(notes)
    sound = np.concatenate([_tone(TIMBRES[timbre], 440.0 * 2 ** ((note - 69) / 12), size, rng) for note in notes])
    sound *= rng.uniform(0.5, 0.9) / max(float(np.abs(sound).max()), 1e-9)
    return sound.astype(np.float32)


def _tone(timbre: str, pitch: float, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """One note at `pitch` Hz → float64 (size,), fading in and out."""
    time = np.arange(size) / RATE
    edges = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.01)
    turn = 2 * np.pi * pitch * time

    def harmonics(numbers: range, slope: float, top: float) -> NDArray[np.float64]:
        heard = [number for number in numbers if number * pitch < top] or [1]
        waves = np.array([np.sin(number * turn) / number**slope for number in heard])  # (len(heard), size)
        total: NDArray[np.float64] = waves.sum(axis=0)
        return total

    match timbre:
        case "square":  # hollow, short and with a rest, as in old video games
            tone = harmonics(range(1, 16, 2), 0.8, 4_500.0) * (time < 0.6 * time[-1])
        case "saw":  # bright
            tone = harmonics(range(1, 21), 0.5, 7_600.0)
        case "plucked":
            tone = harmonics(range(1, 7), 0.7, 6_000.0) * np.exp(-time * 22.0)
        case "noisy":  # wind around a note
            tone = np.sin(turn) + 0.5 * rng.standard_normal(size)
        case "tremolo":
            tone = harmonics(range(1, 3), 1.0, 8_000.0) * (0.5 + 0.5 * np.sin(2 * np.pi * 16.0 * time))
        case _:
            tone = np.sin(turn)
    faded: NDArray[np.float64] = tone * edges
    return faded


def write_jingle(path: Path, sound: NDArray[np.float32]) -> None:
    """Float32 (n,) in [-1, 1] → a mono WAV file of 16 bits a sample."""
    import soundfile

    soundfile.write(path, sound, RATE, subtype="PCM_16", format="WAV")


def write_clip(path: Path, picture: Image.Image) -> None:
    """A picture → an MP4 file of one second in which the camera sways a little around it."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=FRAMES)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        stream.codec_context.bit_rate = 600_000
        for number in range(FRAMES):
            turn = 2 * np.pi * number / FRAMES
            zoom, room = 0.9, 0.05 * SIDE
            view = (zoom, 0.0, room * (1 + np.sin(turn)), 0.0, zoom, room * (1 + 0.5 * np.cos(turn)))
            moved = picture.transform((SIDE, SIDE), Image.Transform.AFFINE, view, Image.Resampling.BILINEAR)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(moved), format="rgb24")))
        container.mux(stream.encode())
