"""The README's Python runs as it stands, in both languages, on a smaller shop."""

import re
from pathlib import Path

import fuserec

ROOT = Path(__file__).parents[1]


def python_of(name):
    return re.search(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)[1]


def test_the_ten_lines_run(tmp_path, monkeypatch, capsys):
    shop = fuserec.toy_shop(60, 40, seed=0, folder=tmp_path / "toyshop")
    monkeypatch.setattr(fuserec, "toy_shop", lambda: shop)
    monkeypatch.chdir(tmp_path)
    exec(compile(python_of("README.md"), "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "ContentWalk" in out and "because of" in out and "[" in out
    assert fuserec.load_model(tmp_path / "shop-model").recommend("user-7", k=3).ids


def test_the_chinese_readme_shows_the_same_lines():
    def bare(text):
        return [line.partition("#")[0].rstrip() for line in text.splitlines()]

    assert bare(python_of("README.zh-CN.md")) == bare(python_of("README.md"))
