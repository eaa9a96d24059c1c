"""The command line: parse, call, print. `fuserec COMMAND --help` shows an example of each command."""

from pathlib import Path
from typing import Annotated

import typer

from fuserec import __version__, registry
from fuserec.errors import OptionError, did_you_mean

# Everything heavy is imported inside the command that needs it, so that --help answers at once.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[Path, typer.Argument(help="a dataset folder, or a single table with one row per user action")]
Model = Annotated[Path, typer.Argument(help="a folder that `fuserec train` wrote")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else on standard output")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="a TOML file with stages and options (see recipes/)")]
Encoders = Annotated[list[str] | None, typer.Option("--encoder", help="COLUMN=NAME or MODALITY=NAME; may be repeated")]
Cache = Annotated[Path | None, typer.Option(help="vector cache; default: .fuserec/vectors.sqlite in the source")]
K = Annotated[int, typer.Option("-k", help="how many items", min=1)]
MinRating = Annotated[float | None, typer.Option(help="interactions rated below are left out; default: all count")]
Fusion = Annotated[str | None, typer.Option(help="how columns become one vector: Concat, Sum, Mean, Weighted")]


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fuserec {__version__}")
        raise typer.Exit


@app.callback()
def _all_commands(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="show the version", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """The multimodal recommender that people can trust and ship."""


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
    from fuserec.page import check_page, examples, write_page

    report = folder / "report.html"
    check_page(report)
    with console.working("starting") as tell:
        shown = run_demo(folder, seeds=seeds, on_progress=tell)
    users = steps.users_to_show(shown.shop)
    write_page(
        report,
        shown.report,
        shown=examples(shown.model, users),
        set_aside=shown.shop.set_aside,
        made_by=steps.made_by(),
    )
    steps.print_report(shown.report, json)
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
    source: Annotated[Path, typer.Argument(metavar="FROM", help="the files as they were published")],
    target: Annotated[Path, typer.Argument(metavar="TO", help="the dataset folder to write")],
) -> None:
    """Another format → a dataset folder; what the same import wrote there before is replaced.

    Example: fuserec import movielens ml-100k ml100k
    """
    from fuserec.cli import console, steps
    from fuserec.sources.write import write

    dataset = registry.load("importer", format)(source)
    write(dataset, target, made_by=f"fuserec import {format}")
    steps.print_set_aside(dataset.set_aside)
    counts = f"{dataset.n_users:,} users, {dataset.n_items:,} items, {len(dataset.interactions):,} interactions"
    console.say(f"{target}: {counts}; columns {', '.join((*dataset.catalog.columns, *dataset.embeddings)) or 'none'}")


@app.command()
def encode(
    source: Source,
    encoder: Encoders = None,
    min_rating: MinRating = None,
    recipe: RecipeFile = None,
    cache: Cache = None,
) -> None:
    """Fill the vector cache; a run that was stopped goes on where it was.

    Example: fuserec encode toyshop --encoder photo=ColorTexture
    """
    from fuserec.cli import console, steps

    plan = steps.recipe(recipe, encoder, min_rating=min_rating)
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
    fusion: Fusion = None,
    min_rating: MinRating = None,
    recipe: RecipeFile = None,
    cache: Cache = None,
) -> None:
    """Learn from all interactions and write a model folder.

    Example: fuserec train toyshop --out shop-model --model ContentWalk --set content=0.3
    """
    from fuserec.artifact import save_model
    from fuserec.atomic import check_folder
    from fuserec.cli import console, steps

    plan = steps.recipe(recipe, encoder, fusion, min_rating=min_rating)
    check_folder(out, may_replace=steps.is_model)
    named = plan.one_model(model)
    options = (named.options if named else {}) | dict(steps.key_value(text, "--set") for text in set_ or ())
    registry.make("recommender", named.name if named else "ContentWalk", options)  # told before anything is encoded
    dataset = steps.encoded(plan, steps.cleaned(plan, source), source, cache)
    name = named.name if named else "ContentWalk" if dataset.embeddings else "RandomWalk"
    made = registry.make("recommender", name, options)
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


@app.command()
def evaluate(
    source: Source,
    models: Annotated[
        str | None, typer.Option(help="names, separated by commas; default: all that fit the data")
    ] = None,
    k: K = 10,
    split: Annotated[str | None, typer.Option(help="auto, time, last, random, cold-items, given")] = None,
    report: Annotated[Path | None, typer.Option(help="write a report page here, report.html for example")] = None,
    encoder: Encoders = None,
    fusion: Fusion = None,
    min_rating: MinRating = None,
    recipe: RecipeFile = None,
    cache: Cache = None,
    json: Json = False,
) -> None:
    """Every model on the same split: chosen on validation, test opened once.

    Example: fuserec evaluate toyshop --models Popular,EASE,ContentWalk --report report.html
    """
    from fuserec.cli import console, steps
    from fuserec.evaluation import evaluate as run
    from fuserec.page import check_page, examples, write_page

    plan = steps.recipe(recipe, encoder, fusion, split, models, min_rating)
    if report is not None:
        check_page(report)
    parts = plan.split.split(steps.cleaned(plan, source))
    parts = parts._replace(train=steps.encoded(plan, parts.train, source, cache))
    candidates = plan.models_for(parts.train)
    with console.working("evaluating") as tell:
        result = run(candidates, parts, k=k, on_progress=tell)
    if report is not None:
        shown = examples(candidates[result.chosen], steps.users_to_show(parts.train, parts.test))
        write_page(report, result, shown=shown, set_aside=parts.train.set_aside, made_by=steps.made_by())
        console.note(f"report: {report.resolve()}")
    steps.print_set_aside(parts.train.set_aside)
    steps.print_report(result, json)
    if not json:
        same = {"--encoder": encoder, "--fusion": fusion, "--min-rating": min_rating, "--recipe": recipe}
        console.say(f"Train it: {steps.training(plan, result.chosen, parts.train, source, same | {'--cache': cache})}")


@app.command()
def recommend(
    model: Model,
    user: Annotated[str, typer.Argument(help="a user id of the training data")],
    k: K = 10,
    explain: Annotated[bool, typer.Option("--explain", help="say what spoke for each item")] = False,
    json: Json = False,
) -> None:
    """The items a user has not seen and will like.

    Example: fuserec recommend shop-model user-7 -k 5 --explain
    """
    from fuserec.artifact import load_model
    from fuserec.cli import console, steps

    items = load_model(model).recommend(user, k)
    steps.print_items(items, json, explain)
    if not items:
        console.note(f"nothing left to recommend: user {user} has seen every item")


@app.command()
def similar(
    model: Model,
    item: Annotated[str, typer.Argument(help="an item id of the training data")],
    by: Annotated[str | None, typer.Option(help="the vectors of this column; default: as the model sees it")] = None,
    k: K = 10,
    json: Json = False,
) -> None:
    """The items most similar to one.

    Example: fuserec similar shop-model item-17 --by photo
    """
    from fuserec.artifact import load_model
    from fuserec.cli import steps

    steps.print_items(load_model(model).similar_items(item, k, by=by), json, False)


@app.command("list")
def list_(kind: Annotated[str | None, typer.Argument(help="encoders, fusers, recommenders, importers")] = None) -> None:
    """The components there are, plugins included, with what each one is.

    Example: fuserec list recommenders
    """
    from fuserec.cli import console, steps

    plurals = [f"{one}s" for one in registry.BUILT_IN]
    if kind is not None and kind not in (*plurals, *registry.BUILT_IN):
        raise OptionError(f"unknown kind {kind!r}{did_you_mean(kind, plurals)} Known: {', '.join(plurals)}.")
    kinds = [kind.removesuffix("s")] if kind else list(registry.BUILT_IN)
    rows = [
        [name, one, steps.first_line(registry.load(one, name))] for one in kinds for name in registry.components(one)
    ]
    console.print_table(["name", "kind", "what it is"], rows)
