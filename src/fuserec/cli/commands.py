"""Commands that read a source. `fuserec COMMAND --help` shows an example of each."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fuserec import registry
from fuserec.cli.options import (
    Align,
    Cache,
    Download,
    Encoders,
    Fusion,
    Json,
    K,
    MinRating,
    Overrides,
    RecipeFile,
    Seeds,
    Source,
    app,
)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="where the first toy shop and report.html go")] = Path("toyshop"),
    seeds: Annotated[int, typer.Option(help="how many shops", min=1)] = 5,
    json: Json = False,
) -> None:
    """Render toy shops with planted tastes, evaluate every model, write report.html.

    Example: fuserec demo
    """
    from fuserec.cli import console, steps
    from fuserec.demo import run_demo
    from fuserec.pages.evaluation import examples, write_page
    from fuserec.pages.page import check_page

    report = folder / "report.html"
    check_page(report)
    with console.working("starting") as tell:
        shown = run_demo(folder, seeds=seeds, on_progress=tell)
    users = steps.users_to_show(shown.shop)
    write_page(
        report,
        shown.report,
        worth=shown.worth,
        shown=examples(shown.model, users),
        set_aside=shown.shop.set_aside,
        made_by=steps.made_by(),
    )
    steps.print_report(shown.report, json, shown.worth)
    console.note(f"The first shop: {folder}. The report, with pictures: {report.resolve()}")


@app.command()
def inspect(source: Source, json: Json = False) -> None:
    """What is there, what is missing, what is broken.

    Example: fuserec inspect toyshop
    """
    from fuserec.cli import console, steps
    from fuserec.preparation.clean import clean

    dataset = steps.read_source(source)
    with console.progress("checking ") as bars:
        cleaned = clean(dataset, merge_duplicates=False, on_progress=bars)
    columns = steps.coverage(dataset, cleaned)
    n = {"n_users": dataset.n_users, "n_items": dataset.n_items, "n_interactions": len(dataset.interactions)}
    has = {key: getattr(dataset.interactions, key) is not None for key in ("ratings", "times", "splits")}
    if json:
        aside = [entry._asdict() for entry in cleaned.set_aside]
        console.print_json({"dataset": {"name": dataset.name, **n, **has}, "columns": columns, "set_aside": aside})
        return
    rows = [
        [name, row["modality"], f"{row['usable']:,}", f"{row['missing']:,}", f"{row['broken']:,}"]
        for name, row in columns.items()
    ]
    counts = f"{n['n_users']:,} users, {n['n_items']:,} items, {n['n_interactions']:,} interactions"
    told = ", ".join(f"{'with' if value else 'no'} {key}" for key, value in has.items())
    console.say(f"{dataset.name}: {counts}; {told}")
    console.print_table(["column", "modality", "usable", "missing", "broken"], rows)
    steps.print_set_aside(cleaned.set_aside)


@app.command("import")
def import_(
    format: Annotated[str, typer.Argument(help="movielens, mmrec, ... (fuserec list importers)")],
    source: Annotated[str, typer.Argument(metavar="FROM", help="the files as they were published, or mongodb://...")],
    target: Annotated[Path, typer.Argument(metavar="TO", help="the dataset folder to write")],
    items: Annotated[str | None, typer.Option(metavar="COLLECTION", help="of mongodb: the items")] = None,
    interactions: Annotated[str | None, typer.Option(metavar="COLLECTION", help="of mongodb: what users did")] = None,
) -> None:
    """Another format → a dataset folder; what the same import wrote there before is replaced.

    Example: fuserec import movielens ml-100k ml100k
    """
    from fuserec.cli import console, steps
    from fuserec.errors import OptionError
    from fuserec.sources.write import write

    collections = {"items": items, "interactions": interactions}
    named = {name: given for name, given in collections.items() if given is not None}
    if named and format != "mongodb":
        raise OptionError(f"--{next(iter(named))} is for fuserec import mongodb; {format} reads files")
    dataset = registry.load("importer", format)(source, **named)
    write(dataset, target, made_by=f"fuserec import {format}")
    steps.print_set_aside(dataset.set_aside)
    counts = f"{dataset.n_users:,} users, {dataset.n_items:,} items, {len(dataset.interactions):,} interactions"
    console.say(f"{target}: {counts}; columns {', '.join((*dataset.catalog.columns, *dataset.embeddings)) or 'none'}")


@app.command()
def encode(
    source: Source,
    encoder: Encoders = None,
    min_rating: MinRating = None,
    option: Overrides = None,
    allow_download: Download = False,
    recipe: RecipeFile = None,
    cache: Cache = None,
) -> None:
    """Fill the vector cache; a run that was stopped goes on where it was.

    Example: fuserec encode toyshop --encoder photo=ColorTexture
    """
    from fuserec.cli import console, steps

    plan = steps.recipe(recipe, encoder, min_rating=min_rating, overrides=option, allow_download=allow_download)
    dataset = steps.encoded(plan, steps.cleaned(plan, source), source, cache)
    rows = [
        [name, vectors.modality, f"{int(vectors.present.sum()):,}", str(vectors.dim), steps.maker(vectors.made_by)]
        for name, vectors in dataset.embeddings.items()
    ]
    console.print_table(["vectors", "modality", "items", "dim", "made by"], rows)
    steps.print_set_aside(dataset.set_aside)


@app.command()
def train(
    source: Source,
    out: Annotated[Path, typer.Option(help="the model folder to write")],
    model: Annotated[
        str | None, typer.Option(help="default: the recipe's, else ContentWalk (RandomWalk without vectors)")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="an option of the model, KEY=VALUE")] = None,
    encoder: Encoders = None,
    align: Align = None,
    fusion: Fusion = None,
    min_rating: MinRating = None,
    option: Overrides = None,
    allow_download: Download = False,
    recipe: RecipeFile = None,
    cache: Cache = None,
) -> None:
    """Learn from all interactions and write a model folder.

    Example: fuserec train toyshop --out shop-model --model ContentWalk --set content=0.3
    """
    from fuserec.artifact import save_model
    from fuserec.atomic import check_folder
    from fuserec.cli import console, steps

    plan = steps.recipe(recipe, encoder, fusion, None, None, min_rating, align, option, allow_download)
    check_folder(out, may_replace=steps.is_model)
    named = plan.one_model(model)
    options = (named.options if named else {}) | dict(steps.key_value(text, "--set") for text in set_ or ())
    kind = "rater" if named and named.name in registry.components("rater") else "recommender"
    registry.make(kind, named.name if named else "ContentWalk", options)  # told before anything is encoded
    dataset = steps.encoded(plan, steps.cleaned(plan, source), source, cache)
    name = named.name if named else "ContentWalk" if dataset.embeddings else "RandomWalk"
    made = registry.make(kind, name, options)
    about = {
        "dataset": dataset.name,
        "sha256": dataset.sha256,
        "n_interactions": len(dataset.interactions),
        **steps.made_by(),
    }
    save_model(made.fit(dataset), out, about=about)
    steps.print_set_aside(dataset.set_aside)
    console.say(f"{out}: {made!r}, {dataset.n_users:,} users, {dataset.n_items:,} items")
    console.say(f"Try: fuserec recommend {out} {dataset.users[0]}")
    if kind == "rater":
        console.say(f"Try: fuserec predict {out} {dataset.users[0]} {dataset.catalog.ids[0]}")


@app.command()
def evaluate(
    source: Source,
    models: Annotated[
        str | None, typer.Option(help="names, separated by commas; default: all that fit the data")
    ] = None,
    k: K = 10,
    split: Annotated[str | None, typer.Option(help="auto, time, last, random, cold-items, given")] = None,
    report: Annotated[Path | None, typer.Option(help="write a report page here, report.html for example")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="a model folder, made by train, that keeps the numbers for its pages")
    ] = None,
    seeds: Seeds = 1,
    modalities: Annotated[
        bool, typer.Option("--modalities", help="say what each column is worth: removed, noise, shuffled, alone")
    ] = False,
    ratings: Annotated[
        bool, typer.Option("--ratings", help="models that predict ratings, and how far they are off (see: list raters)")
    ] = False,
    encoder: Encoders = None,
    align: Align = None,
    fusion: Fusion = None,
    min_rating: MinRating = None,
    option: Overrides = None,
    allow_download: Download = False,
    recipe: RecipeFile = None,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """Every model on the same split: chosen on validation, test opened once.

    Example: fuserec evaluate toyshop --models Popular,EASE,ContentWalk --report report.html

    Example: fuserec evaluate ml100k --ratings --report ratings.html
    """
    from fuserec.cli import console, steps
    from fuserec.evaluation import evaluate as run
    from fuserec.modalities import modality_report
    from fuserec.pages.evaluation import examples, keep_evaluation, write_page
    from fuserec.pages.page import check_page

    if keep is not None:
        steps.check_keepable(keep, ratings)
    plan = steps.recipe(recipe, encoder, fusion, split, models, min_rating, align, option, allow_download, ratings)
    if report is not None:
        check_page(report)
    parts = plan.split.split(steps.cleaned(plan, source))
    parts = parts._replace(train=steps.encoded(plan, parts.train, source, cache))
    if ratings:
        from fuserec.cli.rating import evaluate_and_print

        evaluate_and_print(plan, parts, report, json)
        return
    candidates = plan.models_for(parts.train)
    with console.working("evaluating") as tell:
        result = run(candidates, parts, k=k, seeds=seeds, on_progress=tell)
        worth = (
            modality_report(candidates, parts, result, seeds=max(3, seeds), on_progress=tell) if modalities else None
        )
    if report is not None:
        shown = examples(candidates[result.chosen], steps.users_to_show(parts.train, parts.test))
        write_page(report, result, worth=worth, shown=shown, set_aside=parts.train.set_aside, made_by=steps.made_by())
        console.note(f"report: {report.resolve()}")
    if keep is not None:
        keep_evaluation(keep, result, worth)
        console.note(f"kept in {keep}: its pages show it")
    steps.print_set_aside(parts.train.set_aside)
    steps.print_report(result, json, worth)
    if not json:
        same: dict[str, Any] = {"--encoder": encoder, "--align": align, "--fusion": fusion, "--min-rating": min_rating}
        same |= {"--option": option, "--recipe": recipe, "--cache": cache}
        console.say(f"Train it: {steps.training(plan, result.chosen, parts.train, source, same)}")


@app.command("match")
def match_(
    source: Source,
    report: Annotated[Path | None, typer.Option(help="write a page with pictures here, match.html for example")] = None,
    clusters: Annotated[str, typer.Option(help="how items are grouped: kmeans, hdbscan or none")] = "kmeans",
    encoder: Encoders = None,
    align: Align = None,
    option: Overrides = None,
    allow_download: Download = False,
    recipe: RecipeFile = None,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """How well the columns of a catalog match; items whose modalities disagree, the worst first.

    Example: fuserec match toyshop --report match.html
    """
    from fuserec.cli import console, steps
    from fuserec.cli.matching import matched, print_matching
    from fuserec.pages.matching import write_match_page
    from fuserec.pages.page import check_page

    plan = steps.recipe(recipe, encoder, align=align, overrides=option, allow_download=allow_download)
    if report is not None:
        check_page(report)
    dataset = steps.encoded(plan, steps.cleaned(plan, source), source, cache)
    with console.working("matching") as tell:
        found = matched(dataset, plan.align.make("aligner") if align and plan.align else None, clusters, tell)
    if report is not None:
        write_match_page(report, dataset, *found, made_by=steps.made_by())
        console.note(f"report: {report.resolve()}")
    steps.print_set_aside(dataset.set_aside)
    print_matching(dataset, *found, json)
