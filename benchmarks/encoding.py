"""Items encoded per second, with and without reading the files, by one and by two workers.

    python benchmarks/encoding.py [--images 200] [--sounds 200] [--texts 500] [--repeats 3]

Renders 300-pixel JPEG, 2-second WAV and short English texts into a temporary folder. Times are the best of the repeats,
without the loading of weights. CPU is processor seconds over wall seconds: how many cores were really busy.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.data.media import Limits
from fuserec.encoders.encoder import Encoder, encode
from fuserec.encoders.pretrained import available
from fuserec.registry import make

WORDS = (
    "red blue summer winter dress shoe running garden kitchen table lamp music film story cat dog city night".split()
)


def render(folder: Path, n_images: int, n_sounds: int, n_texts: int) -> Dataset:
    rng = np.random.default_rng(0)
    images, sounds = [f"{row}.jpg" for row in range(n_images)], [f"{row}.wav" for row in range(n_sounds)]
    for name in images:
        low = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).resize((300, 300), 3)
        grain = np.asarray(low, dtype=np.int16) + rng.integers(-12, 13, (300, 300, 3))
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
    for name in sounds:
        moments = np.arange(32_000) / 16_000
        tone = 0.4 * np.sin(2 * np.pi * rng.uniform(100, 4_000) * moments) + 0.05 * rng.standard_normal(32_000)
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((tone * 32_767).astype("<i2").tobytes())
    texts = [" ".join(rng.choice(WORDS, rng.integers(4, 24))) + f" {row}" for row in range(n_texts)]
    n_items = max(n_images, n_sounds, n_texts)
    columns = {
        modality: Column(modality, modality, (*values, *[None] * (n_items - len(values))))
        for modality, values in (("image", images), ("audio", sounds), ("text", texts))
    }
    none = np.zeros(0, np.int64)
    catalog = Catalog(Ids(str(row) for row in range(n_items)), columns, folder)
    return Dataset("rendered", catalog, Ids([], "user"), Interactions(none, none))


def best(work, repeats: int) -> tuple[float, float]:
    """Work → (wall seconds of the fastest run, processor seconds over wall seconds of that run)."""
    runs = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        runs.append((wall, cpu / wall))
    return min(runs)


def measure(name: str, dataset: Dataset, workers: int, repeats: int) -> str:
    encoder: Encoder = make("encoder", name)
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
        encode(dataset, {encoder.modality: encoder}, workers=workers)

    (all_wall, all_cpu), (wall, cpu) = best(with_files, repeats), best(without_files, repeats)
    return (
        f"{name:18s} {workers:7d} {len(values):6d} {len(values) / all_wall:10.0f} {all_cpu:5.2f}"
        f" {len(values) / wall:14.0f} {cpu:5.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option, default in (("images", 200), ("sounds", 200), ("texts", 500), ("repeats", 3)):
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    names = ["ColorTexture", "LogMelCNN", "MFCC", "SpectralSound", "TfidfText"]
    names += ["EfficientNetLite0", "MiniLM"] if available() else []
    names += ["Musicnn"] if find_spec("musicnn") else []
    with tempfile.TemporaryDirectory() as folder:
        dataset = render(Path(folder), options.images, options.sounds, options.texts)
        print(
            f"{'encoder':18s} {'workers':>7s} {'items':>6s} {'items/s':>10s} {'CPU':>5s} {'decoded':>14s} {'CPU':>5s}"
        )
        for name in names:
            for workers in (1, 2):
                print(measure(name, dataset, workers, options.repeats), flush=True)


if __name__ == "__main__":
    main()
