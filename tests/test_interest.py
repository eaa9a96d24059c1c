"""Profiles: planted likings are found with the items that say so; chance is not told."""

from dataclasses import replace

import numpy as np
import pytest

from fuserec import make
from fuserec.data.catalog import Catalog, Column
from fuserec.data.dataset import Dataset
from fuserec.data.embeddings import Embeddings
from fuserec.data.ids import Ids
from fuserec.data.interactions import Interactions
from fuserec.errors import OptionError, UnknownIdError
from fuserec.interest import aspects_of, interest_profile, telling
from fuserec.interest.groups import proper_names
from tests.planted import checkerboard

N = 200


@pytest.fixture(scope="module")
def library():
    """200 books of four genres, whose covers have a color each; the genre of a cover's color is another one."""
    rng = np.random.default_rng(0)
    genre, color = np.arange(N) % 4, np.arange(N) // 4 % 4
    genres = [("crime", "fantasy", "romance", "travel")[one] for one in genre]
    words = rng.choice(["ship", "house", "winter", "letter", "train"], (N, 12))
    plots = [
        f"{' '.join(own)} {'detective murder' if one == 'crime' else 'journey'}"
        for own, one in zip(words, genres, strict=True)
    ]
    columns = {
        "genre": Column("genre", "text", tuple(f"{one}, book" if row % 3 else one for row, one in enumerate(genres))),
        "plot": Column("plot", "text", tuple(plots)),
    }
    vectors = np.eye(4)[color] + 0.05 * rng.standard_normal((N, 4))
    n_users = 30
    users, items = np.repeat(np.arange(n_users), 20), rng.integers(0, N, n_users * 20)
    crime, blue = np.flatnonzero(genre == 0), np.flatnonzero(color == 1)
    items[:20] = rng.choice(crime, 20, replace=False)  # user 0 reads crime
    items[20:40] = rng.choice(blue, 20, replace=False)  # user 1 goes by the cover
    catalog = Catalog(Ids(f"b{row}" for row in range(N)), columns)
    data = Dataset("library", catalog, Ids((f"u{row}" for row in range(n_users)), "user"), Interactions(users, items))
    return data.with_embeddings("cover", Embeddings(vectors, np.ones(N, bool), "{}", "image")), genre, color


@pytest.fixture(scope="module")
def model(library):
    return make("recommender", "ItemNeighbors").fit(library[0])


def test_planted_likings_are_found_with_the_items_that_say_so(model, library):
    data, genre, color = library
    profile = interest_profile(model, "u0")
    crime = next(one for one in profile.likings if one.name == "crime")
    assert (crime.kind, crime.column) == ("word", "genre")
    assert crime.share == pytest.approx(1.0) and crime.base == pytest.approx(0.25) and 3.0 < crime.lift < 4.0
    assert {genre[data.catalog.ids.row(item)] for item in crime.because} == {0}
    assert not [one for one in profile.likings if one.kind == "look"]
    look = next(one for one in interest_profile(model, "u1").likings if one.kind == "look")
    assert look.share > 0.5 and look.lift > 2.0  # eight clusters for four colors
    assert {color[data.catalog.ids.row(item)] for item in (*look.because, *look.typical)} == {1}
    assert not [one for one in interest_profile(model, "u1").likings if one.column == "genre"]


def test_chance_is_not_told(model):
    found = [len(interest_profile(model, f"u{user}").likings) for user in range(2, 30)]
    assert np.mean(found) < 0.4  # three aspects, at 5 % each


def test_the_json_form_a_session_and_a_model_that_needs_training(model, library):
    data = library[0]
    items = [data.catalog.ids[row] for row in model.history.of_user(0)[0]]
    told = interest_profile(model, items=items, aspects=aspects_of(model)).to_dict()
    assert told["query"] == {"items": items} and told["n_items"] == 20
    entry = told["interests"][0]
    assert {"kind", "column", "name", "share", "base", "lift", "recommended", "because", "typical"} == entry.keys()
    assert entry["because"][0].keys() == {"item_id", "title"} and 0.0 <= entry["recommended"] <= 1.0
    user = interest_profile(model, "u0").to_dict()
    assert [one["name"] for one in told["interests"]] == [one["name"] for one in user["interests"]]
    assert "crime" in interest_profile(model, "u0").explain()
    assert "nothing stands out" in interest_profile(model, items=[]).explain()
    with pytest.raises(UnknownIdError, match="unknown user 'u99'"):
        interest_profile(model, "u99")
    with pytest.raises(OptionError, match="one of the two"):
        interest_profile(model)
    with pytest.raises(OptionError, match="half_life is 0"):
        interest_profile(model, "u0", half_life=0.0)


def test_recent_items_count_more(model, library):
    data, genre, _ = library
    crime, travel = (np.flatnonzero(genre == one)[:15] for one in (0, 3))
    items = [data.catalog.ids[row] for row in (*crime, *travel)]
    even = {one.name: one.share for one in interest_profile(model, items=items, half_life=1e9).likings}
    late = {one.name: one.share for one in interest_profile(model, items=items, half_life=10.0).likings}
    assert late["travel"] > 0.6 and late.get("crime", 0.0) < 0.4 and even.get("travel", 0.0) < 0.6


def test_a_catalog_without_texts_or_vectors_tells_nothing(library):
    bare = replace(checkerboard(vectors=False), catalog=Catalog(Ids(f"i{row}" for row in range(20)), {}))
    plain = make("recommender", "Popular").fit(bare)
    assert aspects_of(plain) == () and interest_profile(plain, "u1").likings == ()


def test_words_of_long_texts_are_told_by_topic_and_names_say_nothing():
    """Plots of the sea and of courts; one in eight is signed by the same man, whom the user happens to have read."""
    rng = np.random.default_rng(1)
    sea = np.arange(160) % 4 == 0
    said = (
        ("a captain and his crew sail far", "a judge asks for proof in court"),
        ("the ship sinks", "the jury leaves"),
    )
    plots = [
        " ".join(
            (
                said[0][0 if one else 1],
                said[1][0 if one else 1],
                "and then",
                *rng.choice(["home", "night", "rain", "money", "bread", "stone"], 4),
                "by Wiggins wiggins@mail.example" if row % 8 < 1 else "by Somebody",
            )
        )
        for row, one in enumerate(sea)
    ]
    assert "wiggins" in proper_names(plots) and not {"captain", "court"} & proper_names(plots)
    assert telling("the mail of wiggins@mail.example, of 1995") == ["mail"]
    assert proper_names(["A Title", "Der Hund und die Katze"]) == set()  # where most is written large, it says nothing
    kinds = Column("kind", "text", tuple("Adventure" if one else "Drama" for one in sea))
    vectors = np.where(sea[:, None], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]) + 0.1 * rng.standard_normal((160, 3))
    odd = np.arange(160) % 4 == 1  # a third topic that no other column knows of
    vectors[odd] = [0.0, 0.0, 1.0] + 0.1 * rng.standard_normal((odd.sum(), 3))
    users, items = np.repeat([0, 1], [12, 40]), np.r_[np.arange(0, 96, 8), np.arange(40)]
    catalog = Catalog(
        Ids(f"f{row}" for row in range(160)), {"plot": Column("plot", "text", tuple(plots)), "kind": kinds}
    )
    data = Dataset("films", catalog, Ids(["u0", "u1"], "user"), Interactions(users, items))
    model = make("recommender", "Popular").fit(
        data.with_embeddings("plot", Embeddings(vectors.astype(np.float32), np.ones(160, bool), "{}", "text"))
    )
    topics = next(one for one in aspects_of(model) if one.column == "plot")
    assert topics.kind == "topic" and topics.names and all("wiggins" not in name for name in topics.names)
    assert all(sea[topics.members[[group]].indices].all() for group in range(len(topics.names)))
    told = interest_profile(model, "u0").likings
    assert {one.kind for one in told if one.column == "plot"} == {"topic"}
    noise = Embeddings(rng.standard_normal((160, 3)).astype(np.float32), np.ones(160, bool), "{}", "text")
    blind = make("recommender", "Popular").fit(data.with_embeddings("plot", noise))
    assert {one.column for one in aspects_of(blind)} == {"kind"}  # clusters of noise are no topics
    assert "captain" in next(one for one in told if one.kind == "topic").name
    assert "Adventure" in {one.name for one in told}


def test_what_is_true_of_a_user_helps_to_tell_the_rest_and_little_is_not_told():
    """Benjamini and Hochberg 1995: of m, the k surest are told by k / m of 5 %; Bonferroni told less."""
    rng = np.random.default_rng(0)
    genres = ["Action", "Comedy", "Crime", "Drama", "War", *(f"g{k}" for k in range(25))]
    of = [{str(rng.choice(genres[:4], p=[0.2, 0.2, 0.1, 0.5])), str(rng.choice(genres[4:]))} for _ in range(600)]
    catalog = Catalog(
        Ids(f"f{row}" for row in range(600)),
        {"genres": Column("genres", "text", tuple(", ".join(sorted(one)) for one in of))},
    )
    rows = {name: [row for row, one in enumerate(of) if name in one] for name in genres}
    items = np.array([*rows["Action"][:15], *rows["Crime"][:9], *rows["Drama"][:6]])
    data = Dataset("films", catalog, Ids(["u0"], "user"), Interactions(np.zeros(30, np.int64), items))
    model = make("recommender", "Popular").fit(data)
    found = {one.name: one for one in interest_profile(model, "u0", half_life=1e9).likings}
    assert {"Action", "Crime"} <= found.keys() and "Drama" not in found
    many = np.array([*rows["Drama"][:200], *rows["Comedy"][:50]])  # surely more than the catalog, but not by half
    wide = replace(data, interactions=Interactions(np.zeros(250, np.int64), many))
    model = make("recommender", "Popular").fit(wide)
    assert "Drama" not in {one.name for one in interest_profile(model, "u0", half_life=1e9).likings}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A `MultiInterest` of 60 items, even and odd ones alike; user "both" chose even ones long ago, then odd ones."""
    shop = checkerboard(n_items=60)
    rows, two = shop.interactions, np.r_[np.arange(0, 20, 2), np.arange(1, 21, 2)]
    day = rows.times.max() + 86_400 * np.r_[np.arange(10), 60 + np.arange(10)]
    users = np.append(rows.users, np.full(20, shop.n_users))
    rows = Interactions(users, np.append(rows.items, two), None, np.append(rows.times, day))
    pictures = Column("photo", "image", tuple(f"{row}.png" if row % 3 else None for row in range(60)))
    kinds = Column("kind", "text", tuple(("even", "odd")[row % 2] if row % 5 else "other" for row in range(60)))
    columns = {**shop.catalog.columns, "photo": pictures, "kind": kinds}
    catalog = replace(shop.catalog, columns=columns, root=tmp_path_factory.mktemp("pictures"))
    data = replace(shop, users=Ids([*shop.users, "both"], "user"), interactions=rows, catalog=catalog)
    return make("recommender", "MultiInterest", {"interests": 2, "dim": 16, "epochs": 20, "learning_rate": 0.02,
                                                 "batch": 8, "half_life": 7.0}).fit(data)  # fmt: skip


def test_vectors_of_a_user_are_told_first_named_and_shown(several):
    profile = interest_profile(several, "both")
    vectors = [one for one in profile.likings if one.kind == "interest"]
    assert [one.column for one in vectors] == ["vector 1", "vector 2"] == [one.column for one in profile.likings[:2]]
    assert sum(one.share for one in vectors) == pytest.approx(1.0)
    new, old = vectors
    ids = several.catalog_.ids
    for one, parity in ((new, 1), (old, 0)):
        assert {ids.row(item) % 2 for item in (*one.because, *one.typical)} == {parity}
        assert ("even", "odd")[parity] in one.name
    assert new.share > 0.9  # chosen sixty days later, a half-life being seven
    told = profile.to_dict()["interests"][0]
    assert told["typical"][0].keys() == {"item_id", "title", "media"}
    assert [one["media"] for one in told["typical"]] == [["photo"]] * 5  # those with a picture come first
    assert "(photo)" in profile.shown(new.typical[0])
    assert "interest" in profile.explain()


def test_an_old_interest_weighs_less(several):
    row = several.users_.row("both")
    faded = {one.because[0] % 2: one.share for one in several.interests_of(row)}
    several.half_life, kept = 0.0, several.half_life
    plain = {one.because[0] % 2: one.share for one in several.interests_of(row)}
    several.half_life = kept
    assert faded[0] < 0.1 and plain[0] > 0.3


def test_typical_items_are_of_the_interest_and_diversity_makes_a_list_less_alike(several):
    row = several.users_.row("both")
    found = several.interests_of(row)
    for one in found:
        assert one.of[list(one.typical)].all() and one.of[list(one.because)].all() and 0.0 < one.base < 1.0
    assert sum(one.of.sum() for one in found) == len(several.catalog_.ids)

    def unlike(diversity):
        """Of the pairs of a list of ten, the share from two clusters."""
        several.diversity = diversity
        of = several.clusters_[several.rank(np.array([row]), 10)[0][0]]
        several.diversity = 0.0
        return (of[:, None] != of).mean()

    assert unlike(0.0) < unlike(1.0)
