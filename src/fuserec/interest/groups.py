"""Groups of the items of a catalog: those that share a word or a value, those that look, sound or read alike."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import betainc

from fuserec.alignment.clusters import cluster
from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.encoders.text import words
from fuserec.recommenders.recommender import Recommender

KINDS = {"text": "topic", "image": "look", "audio": "sound", "video": "look", "vector": "kind"}
MOST_GROUPS, ITEMS_A_GROUP = 24, 25  # clusters of a column: one for every 25 items, up to 24
LEAST_ITEMS = 3  # of the catalog, for a word to be a group
LEAST_SHARE = 0.01  # of the catalog, for a word of long texts
SHORT, LONG = 3.0, 8.0  # words: of the values of a list (genres, names), and of a text that has topics
REPEATED = 0.3  # share of the values of a list that another item has too
SURE = 0.001  # how likely any word of a column is taken to speak for a group by chance
NAME_WORDS, N_TYPICAL = 3, 10
WORDS_TO_BE_IN = 2  # of those that speak for a topic, for a text to be of it
CAPITALS, TITLES = 0.9, 0.3  # how often a name is written large; a share of all words so written says nothing of names
ADDRESS = re.compile(r"\S+@\S+|https?://\S+|\bwww\.\S+")
LETTERS = re.compile(r"[^\W\d_]+")
LIST = re.compile(r"\s*[,|;，、；]\s*")


@dataclass(frozen=True, eq=False)
class Aspect:
    """Groups of items in one column: those that share a word, or those that look or sound alike.

    kind: `word`, `topic`, `look`, `sound`, or `kind` of vectors without a modality
    members: float32 CSR (n_groups, n_items) of ones; known: bool (n_items,), which items have this column
    """

    column: str
    kind: str
    names: tuple[str, ...]
    typical: tuple[tuple[int, ...], ...]
    members: csr_matrix
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Telling:
    """A word or value that many items of a group have: its column, itself, and the rows of all items that have it."""

    column: str
    word: str
    items: NDArray[np.int32]


def aspects_of(model: Recommender, seed: int = 0) -> tuple[Aspect, ...]:
    """A fitted model → the groups of its items, by words and by vectors, of each column; to be kept for many users.

    Values of lists and words of short texts are groups. Of long texts with vectors, topics are: groups of alike texts,
    of which another text column says too that they belong together, and of these the items with two of the words that
    speak for it. Looks and sounds are told as they are; their typical items show them.
    """
    model._check_fitted()
    catalog = model.catalog_
    nobody = np.zeros(0, np.int64)
    dataset = Dataset("items", catalog, Ids([], "user"), Interactions(nobody, nobody), model.embeddings_)
    by_words = [aspect for name in catalog.columns if (aspect := _by_words(catalog, name)) is not None]
    lists = [one for one in by_words if _listed(catalog.columns[one.column]) is not None] or by_words
    topics = {name for name in dataset.column_vectors if name in catalog.columns and _is_long(catalog, name)}
    found = [aspect for aspect in by_words if aspect.column not in topics]
    for name, vectors in dataset.column_vectors.items():
        n = min(MOST_GROUPS, int(vectors.present.sum()) // ITEMS_A_GROUP)
        if n < 2 or (vectors.modality == "text" and not _is_long(catalog, name)):
            continue
        groups = cluster(dataset, name, n_clusters=n, seed=seed, n_typical=N_TYPICAL)
        here = np.flatnonzero(groups.labels >= 0)
        members = csr_matrix(
            (np.ones(len(here), np.float32), (groups.labels[here], here)), shape=(len(groups), catalog.n_items)
        )
        others = [aspect for aspect in lists if aspect.column != name]
        own = [aspect for aspect in by_words if aspect.column == name]
        told = telling_words(members, others + own)
        if name in topics:
            found.append(_topics(name, members, told, groups.typical, bool(others), vectors.present))
            continue
        likes = [f"like {catalog.title(own[0])}" for own in groups.typical]
        names = tuple(f"{like}, often {name_of(one)}" if one else like for like, one in zip(likes, told, strict=True))
        found.append(Aspect(name, KINDS[vectors.modality], names, groups.typical, members, vectors.present))
    return tuple(aspect for aspect in found if aspect.names)  # no topic may be told


def telling(text: str) -> list[str]:
    """Text → its words that tell something: two letters or more, no number, address or English stop word."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    found = words(ADDRESS.sub(" ", text))
    return [w for w in found if len(w) > 1 and not w.isnumeric() and w not in ENGLISH_STOP_WORDS]


def proper_names(texts: Iterable[str | None]) -> set[str]:
    """Texts → their words that are nearly always written large, as names are; none where most words may be (titles)."""
    every, large = Counter[str](), Counter[str]()
    for text in texts:
        runs = LETTERS.findall(ADDRESS.sub(" ", text or ""))
        every.update(run.casefold() for run in runs)
        large.update(run.casefold() for run in runs if run[0].isupper())
    if large.total() > TITLES * every.total():  # titles; German, where all nouns are
        return set()
    return {word for word, n in large.items() if n >= CAPITALS * every[word]}


def telling_words(members: csr_matrix, by_words: Sequence[Aspect], sure: float = SURE) -> list[list[Telling]]:
    """Groups (n_groups, n_items) → the words that more of each have than chance explains, the farthest above it first.

    By the binomial tail against the word's share of the catalog, below `sure` when multiplied by the number of pairs
    of words and groups; a word counts that two items of the group and a tenth of them have.
    """
    found: list[list[tuple[float, Telling]]] = [[] for _ in range(members.shape[0])]
    for aspect in by_words:
        n = members @ aspect.known.astype(np.float32)  # (n_groups,), of its items those that have the column
        base = (np.asarray(aspect.members.sum(axis=1)).ravel() / aspect.known.sum())[:, None]  # (n_words, 1)
        both = (aspect.members @ members.T).toarray()  # (n_words, n_groups)
        above = (both - n * base) / np.sqrt(n * base * (1.0 - base) + 1e-9)
        chance = betainc(np.maximum(both, 1e-9), n - both + 1.0, base)
        kept = (chance * chance.size <= sure) & (both >= np.maximum(2, n / 10))
        for word, group in zip(*np.nonzero(kept), strict=True):
            one = Telling(aspect.column, aspect.names[word], aspect.members[[word]].indices)
            found[group].append((float(above[word, group]), one))
    return [[one for _, one in sorted(own, key=lambda pair: -pair[0])] for own in found]


def name_of(told: Sequence[Telling]) -> str:
    """The words that speak for a group → its name, the surest three; empty where there is none."""
    chosen = {one.word.casefold(): one.word for one in reversed(told)}  # the surest spelling of each
    return ", ".join([chosen[word] for word in dict.fromkeys(one.word.casefold() for one in told)][:NAME_WORDS])


def _topics(
    column: str, members: csr_matrix, told: Sequence[Sequence[Telling]], typical: Sequence[tuple[int, ...]],
    confirmed: bool, known: NDArray[np.bool_],
) -> Aspect:  # fmt: skip
    """Groups of alike texts → those with words that tell them, one of another column too if there is one to ask."""
    asked = [{one.column == column for one in own} for own in told]
    kept = [group for group, found in enumerate(asked) if True in found and (not confirmed or False in found)]
    said = np.zeros((len(kept), members.shape[1]), np.float32)
    for place, group in enumerate(kept):
        for one in told[group]:
            said[place, one.items] += 1.0
        said[place] = said[place] >= min(WORDS_TO_BE_IN, len(told[group]))
    crisp = csr_matrix(members[kept].multiply(said))
    crisp.eliminate_zeros()
    names = tuple(name_of(told[group]) for group in kept)
    shown = [tuple(row for row in typical[group] if said[place, row]) for place, group in enumerate(kept)]
    return Aspect(column, "topic", names, tuple(shown), crisp, known)


def _by_words(catalog: Catalog, name: str) -> Aspect | None:
    """A text column → groups of the items that share a word, or a value where the texts are lists (genres, names)."""
    column = catalog.columns[name]
    if column.modality != "text":
        return None
    of_item, least = _listed(column), float(LEAST_ITEMS)
    if of_item is None:
        names = proper_names(column.values)
        of_item = [set(telling(value or "")) - names for value in column.values]
        least = max(least, LEAST_SHARE * column.present.sum()) if _is_long(catalog, name) else least
    count = Counter(word for own in of_item for word in own)
    usual = column.present.sum() / 2
    kept = sorted(word for word, n in count.items() if least <= n <= usual)
    if not kept:
        return None
    group = {word: place for place, word in enumerate(kept)}
    pairs = [(group[word], row) for row, own in enumerate(of_item) for word in own if word in group]
    rows, cols = np.array(pairs).T
    members = csr_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=(len(kept), catalog.n_items))
    return Aspect(name, "word", tuple(kept), ((),) * len(kept), members, column.present)


def _listed(column: Column) -> list[set[str]] | None:
    """A text column → the values of each item where the texts are lists of short values that return, else None."""
    of_item = [{part for part in LIST.split(value or "") if part} for value in column.values]
    count = Counter(value for own in of_item for value in own)
    again = sum(n for n in count.values() if n > 1)
    short = np.mean([len(value.split()) for value in count] or [0]) <= SHORT
    return of_item if short and again >= REPEATED * max(count.total(), 1) else None


def _is_long(catalog: Catalog, name: str) -> bool:
    """Whether vectors are of texts long enough to have topics, and no lists; given vectors are taken to be."""
    if name not in catalog.columns:
        return True
    column = catalog.columns[name]
    texts = [value for value in column.values if value]
    return _listed(column) is None and float(np.mean([len(words(value)) for value in texts] or [0])) >= LONG
