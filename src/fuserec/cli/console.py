"""What the command line shows: tables and JSON on standard output; progress, notes and warnings on standard error."""

import json
from collections.abc import Iterator, Sequence
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


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; where the terminal is too narrow, the last columns are left out."""
    widths = [max(cell_len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    fits = [place for place in range(len(header)) if sum(widths[: place + 1]) + 2 * place <= out.width]
    kept = max(len(fits), 2)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    numbers = [all(row[place][:1].isdigit() or row[place] == "-" for row in rows) for place in range(len(header))]
    for name, is_number in zip(header[:kept], numbers, strict=False):
        table.add_column(escape(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        chosen = bool(row) and row[0].startswith("●")
        table.add_row(*(escape(cell) for cell in row[:kept]), style="bold" if chosen else None)
    out.print(table)
    if kept < len(header):
        err.print(f"(a wider terminal also shows: {', '.join(header[kept:])})", style="dim")


def say(text: str) -> None:
    """A line on standard output."""
    out.print(escape(text), soft_wrap=True)
