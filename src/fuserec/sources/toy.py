"""The toy shop: a small catalog with real pictures, sounds and clips, and users whose tastes are known.

Every item has five attributes of six values. `theme` shows in every modality, `material` in the text only, `pattern` in
the picture only, `timbre` in the sound only, and `circle` nowhere but in what users choose. So no modality alone tells
what a user likes, all of them together tell more, and what users did tells more still.
"""

import csv
import hashlib
import os
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import tomli_w
from numpy.typing import NDArray
from platformdirs import user_cache_path

from fuserec.atomic import check_writable
from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import DataError, OptionError
from fuserec.sources import toy_media
from fuserec.sources.toy_media import KINDS, compose, paint, write_clip, write_jingle

NAME = "toyshop"
ATTRIBUTES = ("theme", "material", "pattern", "timbre", "circle")
WEIGHTS = (1.1, 1.0, 1.0, 1.0, 1.2)  # how much each attribute matters to users
POPULARITY = 0.35  # standard deviation of what makes an item liked by all
YEAR, SECONDS = 1_735_689_600, 365 * 86_400  # 2025-01-01 00:00 UTC, and how long it lasted
LATE_SHARE, LATE_FROM, LATE_TO = 0.15, 0.75, 0.99  # this share of the items is released late in the year
RATING_SHARES = (0.06, 0.12, 0.27, 0.33)  # of ratings 1, 2, 3, 4; the rest is 5
MEDIA = {"photo": ("image", "photos", "png"), "jingle": ("audio", "jingles", "wav"), "clip": ("video", "clips", "mp4")}
CONFIG = {
    "name": NAME,
    "items": {
        "file": "items.csv",
        "id": "item_id",
        "text": ["title", "description"],
        "image": ["photo"],
        "audio": ["jingle"],
        "video": ["clip"],
    },
    "interactions": {
        "file": "interactions.csv",
        "user": "user_id",
        "item": "item_id",
        "rating": "rating",
        "time": "timestamp",
    },
}

THEME_WORDS = (  # for the title, and scenes for the description
    (("Crimson", "Fiery", "Scarlet", "Glowing"), ("a campfire evening", "warm embers", "a crackling hearth")),
    (("Azure", "Tidal", "Marine", "Coastal"), ("the open ocean", "waves at low tide", "a harbor by the sea")),
    (
        ("Mossy", "Fern", "Woodland", "Leafy"),
        ("a walk in the forest", "green leaves after rain", "a clearing of ferns"),
    ),
    (("Golden", "Sunny", "Honey", "Lemon"), ("a sunny morning", "bright noon light", "a field of sunflowers")),
    (("Violet", "Twilight", "Plum", "Lilac"), ("dusk over the roofs", "the purple twilight", "a lilac night sky")),
    (("Frosty", "Snowy", "Silver", "Polar"), ("fresh snow", "a frozen lake in winter", "ice on the window")),
)
MATERIAL_WORDS = (
    (("wool", "felt", "mohair"), ("Spun and knitted by hand", "Soft yarn, woven slowly")),
    (("oak", "walnut", "birch"), ("Carved from one plank of timber", "Sanded along the wood grain")),
    (("glass", "crystal", "opal"), ("Mouth-blown and transparent", "Blown thin enough to see through")),
    (("clay", "porcelain", "stoneware"), ("Thrown on the wheel and glazed", "Fired twice in a kiln, then glazed")),
    (("brass", "tin", "steel"), ("Forged and polished metal", "Hammered metal with riveted seams")),
    (("paper", "cardboard", "origami"), ("Folded from pressed sheets", "Folded along crisp creases")),
)


def toy_shop(
    n_items: int = 300, n_users: int = 200, seed: int = 0, *, folder: Path | str | None = None, broken: int = 0
) -> Dataset:
    """Sizes and a seed → a rendered shop in `folder` (a dataset folder), as a Dataset.

    Without `folder`, it is in the user's cache folder, rendered at the first call with these options and then shared.
    `broken` media files are damaged in six ways in turn, to try what a pipeline does with them.
    Raises `OptionError` for impossible sizes, `DataError` when the folder holds something other than a toy shop.
    """
    _check_options(n_items, n_users, seed, broken)
    attributes = _attributes(n_items, seed)
    ids = Ids((f"item-{row}" for row in range(n_items)), "item")
    users = Ids((f"user-{row}" for row in range(n_users)), "user")
    columns, interactions = _columns(attributes, seed), _shopping(attributes, n_users, seed)

    def shop_in(place: Path) -> Dataset:
        return Dataset(NAME, Catalog(ids, columns, root=place), users, interactions)

    def render(place: Path) -> Dataset:
        _prepare_folder(place)
        _draw(place, attributes, columns, seed)
        _break_files(place, columns, broken, seed)
        _write_tables(place, shop_in(place))
        return shop_in(place)

    if folder is not None:
        return render(Path(folder))
    place = user_cache_path("fuserec") / f"{NAME}-{n_items}-{n_users}-{seed}-{broken}-{_code()}"
    if not place.is_dir():
        check_writable(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as beside:
            render(Path(beside) / NAME)
            try:
                os.rename(Path(beside) / NAME, place)
            except OSError:  # another process was faster, with the same shop
                if not place.is_dir():
                    raise
    return shop_in(place)


def _code() -> str:
    """A hash of the code that renders: when it changes, a shared shop is rendered anew."""
    files = (Path(__file__), Path(toy_media.__file__))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def _check_options(n_items: int, n_users: int, seed: int, broken: int) -> None:
    for name, value, least in (("n_items", n_items, 20), ("n_users", n_users, 2), ("seed", seed, 0)):
        if value < least:
            raise OptionError(f"toy_shop: {name} is {value}; expected {least} or more")
    if not 0 <= broken <= n_items:
        raise OptionError(f"toy_shop: broken is {broken}; expected 0 to {n_items}, the number of items")


def _prepare_folder(place: Path) -> None:
    """Make the folder, remove the rendered files of an earlier toy shop in it, write its config."""
    if place.exists() and not place.is_dir():
        raise DataError(f"{place} is a file; name a new or empty folder for the toy shop")
    if place.is_dir() and any(place.iterdir()) and not _is_toy_shop(place):
        raise DataError(
            f"{place} is not empty and holds no earlier toy shop, so nothing was written; "
            "name a new or empty folder, or empty this one first"
        )
    for _, home, ending in MEDIA.values():
        for old in (place / home).glob(f"item-*.{ending}"):
            old.unlink()
        (place / home).mkdir(parents=True, exist_ok=True)
    (place / "dataset.toml").write_bytes(tomli_w.dumps(CONFIG).encode())


def _is_toy_shop(place: Path) -> bool:
    try:
        return tomllib.loads((place / "dataset.toml").read_text(encoding="utf-8")) == CONFIG
    except (OSError, ValueError):  # no such file, or not TOML
        return False


def _attributes(n_items: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """The planted truth: attribute → its value for every item: int64 (n_items,), 0 to 5, independent, evenly spread."""
    rng = np.random.default_rng([seed, 1])
    return {name: rng.permutation(np.arange(n_items) % 6) for name in ATTRIBUTES}


def _columns(attributes: dict[str, NDArray[np.int64]], seed: int) -> dict[str, Column]:
    """Attributes → the columns of the catalog: titles, descriptions, and paths of the media that `_draw` writes."""
    n_items = len(attributes["theme"])
    rng = np.random.default_rng([seed, 2])
    shares = {"description": 0.97, "photo": 0.96, "jingle": 0.96, "clip": 0.10}
    there = {name: rng.permutation(n_items) < round(share * n_items) for name, share in shares.items()}
    values: dict[str, list[str | None]] = {name: [] for name in ("title", "description", *MEDIA)}
    for row in range(n_items):
        _, title, description, _ = _item(attributes, row, seed)
        values["title"].append(title)
        values["description"].append(description if there["description"][row] else None)
        for name, (_, home, ending) in MEDIA.items():
            values[name].append(f"{home}/item-{row}.{ending}" if there[name][row] else None)
    return {
        name: Column(name, MEDIA[name][0] if name in MEDIA else "text", tuple(cells)) for name, cells in values.items()
    }


def _draw(place: Path, attributes: dict[str, NDArray[np.int64]], columns: dict[str, Column], seed: int) -> None:
    """Write every media file that the columns name."""
    for row in range(len(attributes["theme"])):
        kind, _, _, own = _item(attributes, row, seed)
        theme, pattern, timbre = (int(attributes[name][row]) for name in ("theme", "pattern", "timbre"))
        picture, sound = paint(kind, theme, pattern, own), compose(theme, timbre, own)
        photo, jingle, clip = (columns[name].values[row] for name in MEDIA)
        if photo:
            picture.save(place / photo, compress_level=4)
        if jingle:
            write_jingle(place / jingle, sound)
        if clip:
            write_clip(place / clip, picture)


def _item(attributes: dict[str, NDArray[np.int64]], row: int, seed: int) -> tuple[str, str, str, np.random.Generator]:
    """The kind, title and description of an item, and the generator from which its picture and sound are drawn."""
    own = np.random.default_rng([seed, 3, row])
    kind = KINDS[own.integers(len(KINDS))]
    title, description = _describe(kind, int(attributes["theme"][row]), int(attributes["material"][row]), own)
    return kind, title, description, own


def _describe(kind: str, theme: int, material: int, rng: np.random.Generator) -> tuple[str, str]:
    """A kind of product, its theme and material → a title and a description."""
    words = [options[rng.integers(len(options))] for options in (*THEME_WORDS[theme], *MATERIAL_WORDS[material])]
    adjective, scene, stuff, craft = words
    ending = (f"A {kind} that brings {scene} home.", f"It brings {scene} into the room.")[rng.integers(2)]
    return f"{adjective} {stuff} {kind}", f"{craft}. {ending}"


def _break_files(place: Path, columns: dict[str, Column], n_files: int, seed: int) -> None:
    """Damage `n_files` media files, each in the next of six ways; when no clip is left, that way is passed over."""
    rng = np.random.default_rng([seed, 4])
    left = {
        name: [str(columns[name].values[row]) for row in rng.permutation(np.flatnonzero(columns[name].present))]
        for name in MEDIA
    }
    ways = ("text", "empty", "cut", "garbage", "missing", "cut clip")
    media = ("photo", "jingle", "photo", "jingle", "photo", "clip")
    turn = done = 0
    while done < n_files:
        way, name = ways[turn % len(ways)], media[turn % len(ways)]
        turn += 1
        if not left[name]:
            continue
        path = place / left[name].pop()
        content = {
            "text": b"This is a text file with the wrong name.\n",
            "empty": b"",
            "garbage": rng.integers(1, 128, 4_000, dtype=np.uint8).tobytes(),
        }
        path.write_bytes(content.get(way, path.read_bytes()[: path.stat().st_size // 2]))
        if way == "missing":
            path.unlink()
        done += 1


def _shopping(attributes: dict[str, NDArray[np.int64]], n_users: int, seed: int) -> Interactions:
    """Attributes → who chose what, when and how they rated it, in the order of time.

    Each user takes the 15 to 35 items of largest utility with Gumbel noise, which draws without replacement from the
    softmax of utilities (Gumbel-top-k: Kool et al. 2019). An item is chosen after its release only.
    """
    rng = np.random.default_rng([seed, 5])
    n_items = len(attributes["theme"])
    affinity = np.zeros((n_users, n_items))
    for name, weight in zip(ATTRIBUTES, WEIGHTS, strict=True):
        affinity += weight * rng.normal(size=(n_users, 6))[:, attributes[name]]
    utility = affinity + rng.normal(0.0, POPULARITY, n_items) + rng.gumbel(size=(n_users, n_items))
    ranked = np.argsort(-utility, axis=1, kind="stable")
    sizes = np.minimum(rng.integers(15, 36, n_users), n_items // 2)
    users = np.repeat(np.arange(n_users), sizes)
    items = np.concatenate([ranked[user, :size] for user, size in enumerate(sizes)])
    late = rng.permutation(n_items) < round(LATE_SHARE * n_items)
    released = np.where(late, rng.uniform(LATE_FROM, LATE_TO, n_items), 0.0)  # in years
    moments = released[items] + (1.0 - released[items]) * rng.random(len(items))
    times = YEAR + np.ceil(moments * (SECONDS - 1)).astype(np.int64)
    opinion = affinity[users, items] / affinity.std() + rng.normal(0.0, 0.4, len(items))
    ratings = 1 + np.searchsorted(np.quantile(opinion, np.cumsum(RATING_SHARES)), opinion)
    order = np.lexsort((items, users, times))
    return Interactions(users[order], items[order], ratings[order].astype(np.float32), times[order])


def _write_tables(place: Path, dataset: Dataset) -> None:
    """The dataset → `items.csv` and `interactions.csv`; what is missing is left empty."""
    catalog, done = dataset.catalog, dataset.interactions
    if done.ratings is None or done.times is None:
        raise DataError("the toy shop's interactions need ratings and times")
    with (place / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["item_id", *catalog.columns])
        writer.writerows(zip(catalog.ids, *(column.values for column in catalog.columns.values()), strict=True))
    with (place / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["user_id", "item_id", "rating", "timestamp"])
        for user, item, rating, time in zip(done.users, done.items, done.ratings, done.times, strict=True):
            writer.writerow([dataset.users[user], catalog.ids[item], int(rating), int(time)])
