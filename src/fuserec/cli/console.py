"""What the command line shows: tables and JSON on standard output; progress, notes and warnings on standard error."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
if not out.is_terminal:  # a file or a pipe has no width to respect
    out.width = 200
err = Console(stderr=True, highlight=False)
# Where a line may end in a narrow table: "cold ndcg | @10", "0.11 | [0.09, 0.13]", "ContentNeighbors | (by=photo)".
IN_HEADER, IN_CELL = re.compile(r"(?<=[a-z]) |(?=@)| (?=\[)"), re.compile(r" (?=\[)|(?<=\w)(?=\()")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Items a second, over the last moments or in all."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f}/s")


class Bars:
    """One progress bar a name, made when the name is first heard."""

    def __init__(self, progress: Progress, verb: str = "") -> None:
        self.progress, self.verb = progress, verb
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Move the bar of `name` to `done` of `total`."""
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(self.verb + escape(name), total=total)
        self.progress.update(self.tasks[name], completed=done, total=total)


class Lines:
    """The same for a log file or a pipe, where bars cannot be drawn: a line when a name begins, and one at its end."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.begun: dict[str, float] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Say that `name` began, or that all of its `total` are done."""
        if not total:
            return
        if name not in self.begun:
            self.begun[name] = time.monotonic()
            note(f"{self.verb}{name}: {total:,} items" + (", all known already" if done == total > 1 else ""))
        elif done == total:
            note(f"{self.verb}{name}: done in {time.monotonic() - self.begun[name]:.0f} s")


@contextmanager
def progress(verb: str) -> Iterator[Bars | Lines]:
    """`with progress("encoding ") as bars:` bars(name, done, total) → bars with items/s and time left, or lines."""
    if not err.is_terminal:
        yield Lines(verb)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=err) as shown:
        yield Bars(shown, verb)


@contextmanager
def working(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """The same for work made of named steps: one bar, whose text is the step at hand, or a line a step."""
    if not err.is_terminal:
        yield lambda name, done, total: note(f"{name} ({done} of {total} done)")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task(title, total=None)
        yield lambda name, done, total: shown.update(task, description=escape(name), completed=done, total=total)


def note(text: str) -> None:
    """A line on standard error."""
    err.print(escape(text), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON object, and nothing else, on standard output."""
    out.file.write(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; where the terminal is too narrow, cells go on below, and numbers stay whole."""
    numbers = [all(row[place][:1].isdigit() or row[place] == "-" for row in rows) for place in range(len(header))]
    widths = [max(cell_len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    gap = 2
    if sum(widths) + gap * len(widths) > out.width:
        gap = 1
        header = [
            IN_HEADER.sub("\n", name) if is_number else name for name, is_number in zip(header, numbers, strict=True)
        ]
        rows = [[IN_CELL.sub("\n", cell) for cell in row] for row in rows]
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="bold")
    for name, is_number in zip(header, numbers, strict=True):
        table.add_column(escape(name), justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        chosen = bool(row) and row[0].startswith("●")
        table.add_row(*(escape(cell) for cell in row), style="bold" if chosen else None)
    out.print(table)


def say(text: str) -> None:
    """A line on standard output."""
    out.print(escape(text), soft_wrap=True)
