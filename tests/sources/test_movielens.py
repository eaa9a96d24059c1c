import pytest

from fuserec.errors import DataError
from fuserec.registry import load
from fuserec.sources.movielens import read_movielens


def test_100k_with_plots_and_posters(tmp_path):
    (tmp_path / "u.data").write_text("7\t2\t3\t881250949\n5\t1\t5\t881250950\n")
    (tmp_path / "u.genre").write_text("unknown|0\nAction|1\nChildren's|2\n\n")
    films = '1|Café (1995)|01-Jan-1995||http://x|0|1|1\n2|A "B|01-Jan-1995||http://x|0|0|0\n3|C|||||1|0\n'
    (tmp_path / "u.item").write_bytes(films.encode("latin-1").replace(b"|||||1|0", b"||||1|0|0"))
    shop = read_movielens(tmp_path)
    assert (
        shop.name == "movielens-100k" and list(shop.catalog.ids) == ["1", "2", "3"] and list(shop.users) == ["7", "5"]
    )
    assert shop.catalog.columns["title"].values == ("Café (1995)", 'A "B', "C")
    assert shop.catalog.columns["genres"].values == ("Action, Children's", None, "unknown")
    assert shop.interactions.ratings.tolist() == [3, 5] and shop.interactions.times[0] == 881250949

    (tmp_path / "items.csv").write_text(
        "item_id,title,genres,plot,cast,director,image\n"
        "2,Better,Drama|War,A plot | here,X Y|Z,D|E,2.jpg\n1,,,,,,../x.jpg\n"
    )
    (tmp_path / "posters").mkdir()
    (tmp_path / "posters" / "2.jpg").write_bytes(b"")
    notes = []
    shop = load("importer", "movielens")(str(tmp_path), on_note=notes.append)
    values = {name: column.values for name, column in shop.catalog.columns.items()}
    assert values == {
        "title": ("Café (1995)", "Better", "C"),
        "genres": ("Action, Children's", "Drama, War", "unknown"),
        "plot": (None, "A plot | here", None),
        "cast": (None, "X Y, Z", None),
        "director": (None, "D, E", None),
        "poster": (None, "posters/2.jpg", None),
    }
    assert shop.catalog.root == tmp_path and shop.catalog.columns["poster"].modality == "image"
    assert [entry.where for entry in shop.set_aside] == ["items.csv row 2"]
    assert notes == ["items.csv: the files of poster are in posters/", "u.data: 2 ratings of 3 movies"]


def test_1m(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::10::4::978300760\n2::11::1::978300761\n")
    (tmp_path / "movies.dat").write_bytes("10::Été: un film (1990)::Drama|War\n11::X::Comedy\n".encode("latin-1"))
    shop = read_movielens(tmp_path)
    assert shop.name == tmp_path.name and shop.catalog.columns["title"].values == ("Été: un film (1990)", "X")
    assert shop.catalog.columns["genres"].values == ("Drama, War", "Comedy")
    assert shop.interactions.ratings.tolist() == [4, 1]


def test_latest(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,10,0.5,978300760\n1,99,1,978300761\n")
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n10,"A, B",(no genres listed)\n11,X,Comedy\n')
    shop = read_movielens(tmp_path)
    assert shop.catalog.columns["title"].values == ("A, B", "X") and shop.interactions.ratings.tolist() == [0.5]
    assert shop.catalog.columns["genres"].values == (None, "Comedy")
    assert [str(entry) for entry in shop.set_aside] == [
        "ratings.csv row 2: interaction set aside: unknown item (found '99')"
    ]


def test_rows_that_are_left_out_are_told(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,10,0.5,978300760\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n10,A,Drama\n10,B,Drama\n,C,Drama\n")
    (tmp_path / "items.csv").write_text("item_id,plot,image\n10,Once,../a.jpg\n10,Twice,\n77,Never,\n")
    shop = read_movielens(tmp_path)
    assert shop.catalog.columns["title"].values == ("A",) and shop.catalog.columns["plot"].values == ("Once",)
    assert [(entry.where, entry.reason, entry.found) for entry in shop.set_aside] == [
        ("movies.csv row 3", "empty item id", ""),
        ("movies.csv row 2", "duplicate item id", "10"),
        ("items.csv row 2", "duplicate item id", "10"),
        ("items.csv row 3", "unknown item", "77"),
        ("items.csv row 1", "the path leaves the dataset folder", "../a.jpg"),
    ]


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match="holds no MovieLens ratings; expected u.data"):
        read_movielens(tmp_path)
    (tmp_path / "ratings.dat").write_text("1::10::4::978300760\n")
    with pytest.raises(DataError, match="no file .*movies.dat"):
        read_movielens(tmp_path)
    (tmp_path / "ratings.csv").write_text("user,movieId,rating\n1,10,4\n")
    (tmp_path / "ratings.dat").unlink()
    with pytest.raises(DataError, match="ratings.csv has no user_id, timestamp; columns found: user, item_id, rating"):
        read_movielens(tmp_path)
    (tmp_path / "u.data").write_text("1\t10\t4\n")
    with pytest.raises(DataError, match="no file .*u.item; expected u.data, u.item and u.genre"):
        read_movielens(tmp_path)
