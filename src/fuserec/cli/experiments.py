"""Commands that compare many models: public benchmarks, and tuning."""

from pathlib import Path
from typing import Annotated

import typer

from fuserec.cli.options import Cache, Encoders, Json, K, MinRating, Overrides, RecipeFile, Source, app
from fuserec.errors import OptionError, did_you_mean


@app.command()
def benchmark(
    name: Annotated[str, typer.Argument(help="tiktok, movielens-ratings, speed (fuserec list benchmarks)")],
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
    elif isinstance(found, dict):
        from fuserec.ratings.movielens import caption, ratings_table

        if json:
            console.print_json(found)
            return
        console.print_table(*ratings_table(found))
        for line in caption(found):
            console.say(line)
    elif json:
        console.print_json({"benchmark": name, "selection": "validation", "test_opened": 0, "models": found})
    else:
        console.print_table(*speed_table(found))


@app.command()
def tune(
    source: Source,
    models: Annotated[str | None, typer.Option(help="names, separated by commas; default: all that fit")] = None,
    trials: Annotated[int, typer.Option(help="of every model, the floor included", min=1)] = 30,
    out: Annotated[Path, typer.Option(help="the recipe to write, with the best options of each model")] = Path(
        "tuned.toml"
    ),
    storage: Annotated[
        Path | None, typer.Option(help="where trials are kept; default: .fuserec/tuning.sqlite in the source")
    ] = None,
    k: K = 10,
    ratings: Annotated[bool, typer.Option("--ratings", help="models that predict ratings, by RMSE")] = False,
    split: Annotated[str | None, typer.Option(help="auto, time, last, random, cold-items, given")] = None,
    encoder: Encoders = None,
    min_rating: MinRating = None,
    option: Overrides = None,
    recipe: RecipeFile = None,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """Search the options of models, on validation only; a search that was stopped goes on.

    Example: fuserec tune toyshop --models RandomWalk,ContentWalk --trials 20 --out tuned.toml

    Example: fuserec tune ml100k --ratings --models Biases,NeighborRatings --out tuned.toml
    """
    from fuserec.atomic import check_writable
    from fuserec.cli import console, steps
    from fuserec.recipe import Recipe
    from fuserec.tuning import tune as search
    from fuserec.tuning import write_tuned, wrote

    plan = steps.recipe(recipe, encoder, None, split, models, min_rating, None, option, ratings=ratings)
    if out.exists() and not wrote(out):
        raise OptionError(f"{out} was not written by fuserec tune; name another file with --out")
    place = storage or steps.cache_of(source).with_name("tuning.sqlite")
    for file in (out, place):
        check_writable(file)
    train, validation, *_ = plan.split.split(steps.cleaned(plan, source))  # test is not even named here
    train = steps.encoded(plan, train, source, cache)
    place.parent.mkdir(parents=True, exist_ok=True)
    with console.working("tuning") as tell:
        found = [
            search(part, train, validation, trials=trials, k=k, storage=place, on_progress=tell)
            for part in (plan.rater_components(train) if ratings else plan.components(train))
        ]
    found.sort(key=lambda one: one.value if ratings else -one.value)
    key, metric = ("raters", "RMSE") if ratings else ("models", f"ndcg@{k}")
    tuned = Recipe.parse({**plan.model_dump(), key: [one.component.model_dump() for one in found]})
    write_tuned(out, tuned, steps.made_by()["command"])
    if json:
        console.print_json(
            {"selection": "validation", "test_opened": 0, "metric": metric, "recipe": str(out)}
            | {"models": [one.to_dict() for one in found]}
        )
        return
    console.print_table(
        ["model", f"validation {metric}", "with defaults", "trials", "what matters"],
        [
            [
                one.component.label,
                f"{one.value:.4f}",
                f"{one.default:.4f}",
                str(one.n_trials),
                ", ".join(f"{name} {share:.0%}" for name, share in list(one.importance.items())[:3]),
            ]
            for one in found
        ],
    )
    told = " --ratings" if ratings else ""
    console.say(f"Only validation was looked at. Measure on test, once: fuserec evaluate {source}{told} --recipe {out}")
