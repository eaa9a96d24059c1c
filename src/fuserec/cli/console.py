"""What the command line shows: tables and JSON on standard output; progress, notes and warnings on standard error."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
err = Console(stderr=True, highlight=False)


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


@contextmanager
def progress(verb: str) -> Iterator[Bars]:
    """`with progress("encoding ") as bars:` bars(name, done, total) → bars with items/s and time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=not err.is_terminal) as shown:
        yield Bars(shown, verb)


@contextmanager
def working(title: str) -> Iterator[Bars]:
    """The same for work made of named steps: one bar, whose text is the step at hand."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task(title, total=None)

        class Step(Bars):
            def __call__(self, name: str, done: int, total: int) -> None:
                shown.update(task, description=escape(name), completed=done, total=total)

        yield Step(shown)


def note(text: str) -> None:
    """A line on standard error."""
    err.print(escape(text), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON object, and nothing else, on standard output."""
    out.file.write(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """A table on standard output; all columns but the first to the right."""
    table = Table(title=escape(title) or None, title_justify="left", header_style="bold")
    for place, name in enumerate(header):
        table.add_column(escape(name), justify="left" if place == 0 else "right", overflow="fold")
    for row in rows:
        chosen = bool(row) and row[0].startswith("●")
        table.add_row(*(escape(cell) for cell in row), style="bold" if chosen else None)
    out.print(table)


def say(text: str) -> None:
    """A line on standard output."""
    out.print(escape(text), soft_wrap=True)
