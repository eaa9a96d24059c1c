"""The page of a report: every number and reason can be read, on a phone too, and nothing of the user's is replaced."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fuserec import registry
from fuserec.data.dataset import SetAside
from fuserec.errors import ArtifactError
from fuserec.evaluation import evaluate
from fuserec.fusion.fuser import fuse
from fuserec.pages.evaluation import Example, colors, examples, reasons, write_page
from fuserec.pages.page import Card
from fuserec.preparation.split import split_by_time
from tests.planted import checkerboard


class Reader(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []  # (tag, attributes)
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.found if name == tag and attribute in attributes]


@pytest.fixture(scope="module")
def made():
    parts = split_by_time(checkerboard(n_users=60), test=0.2)
    parts = parts._replace(train=fuse(parts.train))
    models = {name: registry.make("recommender", name) for name in ("Popular", "ContentWalk")}
    return replace(evaluate(models, parts), notes=("97% of it",)), models["ContentWalk"]


def test_every_cell_names_its_column_and_every_reason_is_written(made, tmp_path):
    report, walk = made
    shown = examples(walk, [0, 1])
    gone = [SetAside("read", "image", f"row {row}", "no such file", "a.png") for row in range(7)]
    write_page(tmp_path / "new" / "report.html", report, shown=shown, set_aside=gone)
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    reader = Reader(page)
    names = reader.all("td", "data-name")  # what a phone shows beside each number
    assert len(names) == (7 + 6) * len(report.models) + 4 and "cold ndcg@10" in names
    assert "<li><strong>97\N{NO-BREAK SPACE}% of it</strong></li>" in page
    assert "7 × image, no such file; for example row 0" in page
    for card in (card for example in shown for card in example.recommended):
        for name, share in reasons(card.why):
            assert f"<span>{name}</span><span>{100 * share:.0f}\N{NO-BREAK SPACE}%</span>" in page
    n = sum(bool(card.why) for example in shown for card in example.recommended)
    assert page.count("because of") == n > 5


def test_pictures_say_what_they_show(made, tmp_path):
    card = Card("A <cup>", "data:image/jpeg;base64,AAAA", {})
    write_page(tmp_path / "report.html", made[0], shown=[Example("u", [card], [])])
    reader = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert reader.all("img", "alt") == ["picture of A <cup>"]


def test_reasons_add_up_to_one_with_what_is_not_shown():
    why = {"title": 0.1, "photo": 0.4, "sound": 0.2, "genre": 0.15, "cast": 0.05}
    told = reasons(why)
    assert [name for name, _ in told] == ["photo", "sound", "genre", "other"]
    assert sum(share for _, share in told) == pytest.approx(1.0) and told[-1][1] == pytest.approx(0.25)
    assert reasons({"popularity": 1.0}) == [("popularity", 1.0)]


def test_a_column_has_one_color_on_the_whole_page():
    def example(*whys):
        return Example("u", [], [Card("t", None, why) for why in whys])

    columns = [example({"title": 0.6, "photo": 0.4}, {"photo": 1.0}), example({"community": 0.5, "title": 0.5})]
    assert colors(columns) == {"title": "c0", "photo": "c1", "community": "c2", "other": "other"}
    items = [example(*({f"item {row}": 1.0} for row in range(7)))]
    assert colors(items) == {"other": "other"}  # more names than colors


def test_only_an_earlier_page_is_replaced(made, tmp_path):
    path = tmp_path / "report.html"
    write_page(path, made[0])
    write_page(path, made[0])
    path.write_text("<!doctype html>\n<title>My thesis</title>", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"exists and is not a report of fuserec; name another file"):
        write_page(path, made[0])
    assert "thesis" in path.read_text(encoding="utf-8")
