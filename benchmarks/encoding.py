"""Items encoded per second from files, beside the bare encoder on what was decoded before, by one and by two workers.

    python benchmarks/encoding.py [--images 200] [--sounds 200] [--texts 500] [--videos 24] [--repeats 5]
                                  [--encoders A,B]

Renders 300-pixel JPEG, 2-second WAV, clips as of the toy shop and short English texts into a temporary folder. The two
are measured in turn, and the median of the repeats counts; weights are loaded before. `share` is items/s from files
over items/s of the bare encoder; CPU is processor seconds over wall seconds: how many cores were really busy; `of CPU`
is the bare encoder's processor seconds over those from files, which other work on the machine disturbs less.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.data.media import Limits
from fuserec.encoders.encoder import Encoder, _ColumnRun, default_encoders
from fuserec.errors import FuserecError
from fuserec.registry import components, make
from fuserec.sources.toy_media import paint, write_clip

WORDS = (
    "red blue summer winter dress shoe running garden kitchen table lamp music film story cat dog city night".split()
)


def render(folder: Path, n_images: int, n_sounds: int, n_texts: int, n_videos: int) -> Dataset:
    rng = np.random.default_rng(0)
    images, sounds = [f"{row}.jpg" for row in range(n_images)], [f"{row}.wav" for row in range(n_sounds)]
    for name in images:
        low = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).resize((300, 300), 3)
        grain = np.asarray(low, dtype=np.int16) + rng.integers(-3, 4, (300, 300, 3))  # as smooth as posters
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
    for name in sounds:
        moments = np.arange(32_000) / 16_000
        tone = 0.4 * np.sin(2 * np.pi * rng.uniform(100, 4_000) * moments) + 0.05 * rng.standard_normal(32_000)
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((tone * 32_767).astype("<i2").tobytes())
    videos = [f"{row}.mp4" for row in range(n_videos)]
    for row, name in enumerate(videos):
        write_clip(folder / name, paint("kite", row % 6, row % 4, rng))
    texts = [" ".join(rng.choice(WORDS, rng.integers(4, 24))) + f" {row}" for row in range(n_texts)]
    n_items = max(n_images, n_sounds, n_texts, n_videos)
    columns = {
        modality: Column(modality, modality, (*values, *[None] * (n_items - len(values))))
        for modality, values in (("image", images), ("audio", sounds), ("text", texts), ("video", videos))
    }
    none = np.zeros(0, np.int64)
    catalog = Catalog(Ids(str(row) for row in range(n_items)), columns, folder)
    return Dataset("rendered", catalog, Ids([], "user"), Interactions(none, none))


def medians(works, repeats: int) -> list[tuple[float, float]]:
    """Works, run in turn → for each, the medians of its wall seconds and of its processor seconds."""
    runs = [[] for _ in works]
    for _ in range(repeats):
        for work, own in zip(works, runs, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            own.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [tuple(float(part) for part in np.median(own, axis=0)) for own in runs]


def measure(name: str, dataset: Dataset, workers: int, repeats: int) -> str:
    encoder: Encoder = default_encoders()["video"] if name == "VideoFrames" else make("encoder", name)
    column = dataset.catalog.columns[encoder.modality]
    rows = [row for row, value in enumerate(column.values) if value is not None]
    values = [column.values[row] for row in rows]
    if encoder.modality != "text":
        values = [encoder.decode(dataset.catalog.path(column.name, row), Limits()) for row in rows]
    encoder.fit(values)
    batches = [values[start : start + encoder.batch_size] for start in range(0, len(values), encoder.batch_size)]
    encoder.encode_batch(batches[0])  # loads the weights

    def without_files() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(encoder.encode_batch, batches))

    def with_files() -> None:
        _ColumnRun(dataset, column, encoder, Limits(), None, workers, None).encode()  # `encode` without the learning

    (all_wall, all_cpu), (wall, cpu) = medians([with_files, without_files], repeats)
    dim = encoder.encode_batch(batches[0]).shape[1]
    return (
        f"{name:18s} {dim:5d} {workers:7d} {len(values) / all_wall:10.0f} {all_cpu / all_wall:5.2f}"
        f" {len(values) / wall:10.0f} {cpu / wall:5.2f} {wall / all_wall:7.2f} {cpu / all_cpu:7.2f}"
    )


def usable(name: str) -> bool:
    """Whether an encoder can be made without options, and its weights are here."""
    try:
        encoder = make("encoder", name)
        encoder.state()
        return encoder.modality in ("text", "image", "audio", "video")
    except FuserecError as error:
        print(f"{name}: left out ({error})".splitlines()[0])
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option, default in (("images", 200), ("sounds", 200), ("texts", 500), ("videos", 24), ("repeats", 5)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--encoders", help="names, separated by commas; default: all that need no option")
    options = parser.parse_args()
    names = (
        options.encoders.split(",") if options.encoders else [name for name in components("encoder") if usable(name)]
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = render(Path(folder), options.images, options.sounds, options.texts, options.videos)
        print(
            f"{'encoder':18s} {'dim':>5s} {'workers':>7s} {'files/s':>10s}   CPU {'bare/s':>10s}   CPU   share  of CPU"
        )
        for name in names:
            for workers in (1, 2):
                print(measure(name, dataset, workers, options.repeats), flush=True)


if __name__ == "__main__":
    main()
