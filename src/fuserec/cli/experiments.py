"""Commands that compare many models: public benchmarks, and tuning."""

from pathlib import Path
from typing import Annotated

import typer

from fuserec.cli.options import Json, RecipeFile, app
from fuserec.errors import OptionError, did_you_mean


@app.command()
def benchmark(
    name: Annotated[str, typer.Argument(help="tiktok, or speed (fuserec list benchmarks)")],
    data: Annotated[Path, typer.Option(help="the folder of the public files")],
    seeds: Annotated[int | None, typer.Option(help="of models that have one; default: the protocol's", min=1)] = None,
    recipe: RecipeFile = None,
    json: Json = False,
) -> None:
    """A public protocol, exactly: validation chooses the model, test is opened once.

    Example: fuserec benchmark tiktok --data tiktok --json
    """
    from fuserec import registry
    from fuserec.benchmark import speed_table
    from fuserec.cli import console, steps
    from fuserec.recipe import Recipe
    from fuserec.report import Report

    known = registry.components("benchmark")
    if name not in known:
        raise OptionError(f"unknown benchmark {name!r}{did_you_mean(name, known)} Known: {', '.join(known)}.")
    plan = Recipe.read(recipe) if recipe else None
    told = {} if seeds is None else {"seeds": seeds}
    with console.working(name) as tell:
        found = registry.load("benchmark", name)(data, plan, on_progress=tell, **told)
    if isinstance(found, Report):
        steps.print_report(found, json)
    elif json:
        console.print_json({"benchmark": name, "selection": "validation", "test_opened": 0, "models": found})
    else:
        console.print_table(*speed_table(found))
