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
from fuserec.interest import aspects_of, interest_profile
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
