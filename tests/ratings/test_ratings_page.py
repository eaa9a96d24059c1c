"""The page of ratings: every number of the report is on it, and curves are where calibration says."""

import re

import numpy as np
import pytest
from tests.planted_ratings import planted_ratings

from fuserec import evaluation, registry
from fuserec.data.dataset import SetAside
from fuserec.fusion.fuser import fuse
from fuserec.pages.ratings import write_ratings_page
from fuserec.preparation.split import split_random
from fuserec.ratings.evaluation import evaluate_ratings


@pytest.fixture(scope="module")
def report():
    evaluation._opened.clear()
    parts = split_random(planted_ratings(), validation=0.15, test=0.2)
    parts = parts._replace(train=fuse(parts.train))
    made = {name: registry.make("rater", name) for name in ("Biases", "ContentRatings")}
    return evaluate_ratings(made, parts)


def test_slices_are_of_all_ratings_and_of_the_items_they_say(report):
    slices = report.slices()
    for of, known in (("items", report.of_item), ("users", report.of_user)):
        own = [one for one in slices if one["of"] == of]
        assert sum(one["n"] for one in own) == len(report.ratings)
        for one in own:
            rows = (known >= one["from"]) & (known <= (one["to"] or (0 if one["from"] == 0 else 10**9)))
            wrong = report.ratings[rows] - report.model("Biases").predicted[rows]
            assert one["n"] == rows.sum() and one["rmse"]["Biases"] == pytest.approx(
                np.sqrt(np.mean(wrong**2)), rel=1e-5
            )
    assert report.to_dict()["slices"] == slices


def test_every_number_and_every_point_is_on_the_page(report, tmp_path):
    gone = [SetAside("read", "rating", f"row {row}", "not a number", "x") for row in range(3)]
    write_ratings_page(tmp_path / "ratings.html", report, set_aside=gone, made_by={"command": "fuserec <evaluate>"})
    page = (tmp_path / "ratings.html").read_text(encoding="utf-8")
    plain = page.replace("\N{NO-BREAK SPACE}", " ").replace(" %", "%")
    for header, rows in ((report.header(), report.rows()), report.comparison(), report.by_slice()):
        for row in rows:
            for cell in (*header, *row):
                assert cell.replace(" %", "%") in plain, cell
    assert "3 × rating, not a number; for example row 0" in page and "fuserec &lt;evaluate&gt;" in page
    for label in ("Biases", "ContentRatings"):
        (figure,) = re.findall(rf"<h3>{label}</h3>(.*?)</figure>", page, re.S)
        dots = [tuple(map(float, dot)) for dot in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', figure)]
        wanted = [(30 + 180 * chance, 190 - 180 * liked) for chance, liked, _ in report.calibration(label)]
        assert np.allclose(dots, wanted, atol=0.06)
    assert page.index(f"<h3>{report.chosen}</h3>") < page.index("<h3>Biases</h3>")  # the chosen one first
