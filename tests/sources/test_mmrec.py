import numpy as np
import pytest

from fuserec.errors import DataError
from fuserec.registry import load
from fuserec.sources.mmrec import read_mmrec


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy.inter").write_text("userID\titemID\tx_label\n4\t2\t0\n0\t0\t1\n4\t1\t2\n")
    np.save(tmp_path / "v_feat.npy", np.arange(8, dtype=np.float16).reshape(4, 2))
    np.save(tmp_path / "audio_feat.npy", np.ones((4, 3)))
    np.save(tmp_path / "user_graph_dict.npy", {"a": 1}, allow_pickle=True)
    return tmp_path


def test_the_files_of_mmrec(folder):
    notes = []
    toy = load("importer", "mmrec")(str(folder), on_note=notes.append)
    assert toy.name == "toy" and list(toy.catalog.ids) == ["0", "1", "2", "3"] and list(toy.users) == ["4", "0"]
    assert toy.interactions.items.tolist() == [2, 0, 1] and toy.interactions.splits.tolist() == [0, 1, 2]
    assert toy.interactions.ratings is toy.interactions.times is None
    image = toy.embeddings["image"]
    assert list(toy.embeddings) == ["audio", "image"] and image.modality == "image"
    assert image.made_by == "given: v_feat.npy" and image.vectors.dtype == np.float32
    assert image.vectors[3].tolist() == [6, 7] and image.present.all()
    assert notes == ["toy.inter: 3 interactions; vectors: audio (4, 3), image (4, 2)"]


def test_ratings_and_times_and_no_vectors(tmp_path):
    (tmp_path / "a.inter").write_text("userID\titemID\trating\ttimestamp\n4\t2\t3.5\t99\n")
    (tmp_path / "b.inter").write_text("")
    with pytest.raises(DataError, match="files found: a.inter, b.inter; expected one NAME.inter"):
        read_mmrec(tmp_path)
    toy = read_mmrec(tmp_path / "a.inter")
    assert toy.n_items == 3 and toy.interactions.splits is None
    assert toy.interactions.ratings.tolist() == [3.5] and toy.interactions.times.tolist() == [99]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("userID\titemID\n1\t4\n", "toy.inter row 1: itemID 4, but the vectors have 4 rows"),
        ("userID\titemID\n1\tx\n", "toy.inter row 1: itemID 'x'; expected a row number from 0"),
        ("userID\titemID\n1\t-1\n", "row 1: itemID '-1'"),
        ("user\titemID\n1\t1\n", "toy.inter has no column userID; columns found: user, itemID"),
        ("userID\titemID\tx_label\n1\t1\t3\n", "row 1: unknown split '3'"),
        ("userID\titemID\n", "toy.inter has no rows"),
    ],
)
def test_wrong_interactions(folder, text, message):
    (folder / "toy.inter").write_text(text)
    with pytest.raises(DataError, match=message):
        read_mmrec(folder)


def test_wrong_vectors(folder):
    np.save(folder / "image_feat.npy", np.ones((4, 2)))
    with pytest.raises(DataError, match="v_feat.npy and another file both hold the vectors 'image'"):
        read_mmrec(folder)
    np.save(folder / "image_feat.npy", np.ones((5, 2)))
    (folder / "v_feat.npy").unlink()
    with pytest.raises(DataError, match="arrays of different lengths"):
        read_mmrec(folder)
    with pytest.raises(DataError, match="files found: none"):
        read_mmrec(folder / "nowhere")
