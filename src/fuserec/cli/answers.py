"""Commands that ask a model, and the list of components."""

from pathlib import Path
from typing import Annotated

import typer

from fuserec import registry
from fuserec.cli.options import Json, K, Model, app
from fuserec.errors import OptionError, did_you_mean

User = Annotated[str | None, typer.Argument(help="a user id of the training data")]
Items = Annotated[
    str | None, typer.Option(help="instead of a user, item ids of a session with commas between them, the oldest first")
]


@app.command()
def recommend(
    model: Model,
    user: User = None,
    items: Items = None,
    k: K = 10,
    diversity: Annotated[
        float | None, typer.Option(help="0 to below 1: how much it counts that items are unlike (Reranked)")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="say what spoke for each item")] = False,
    json: Json = False,
) -> None:
    """The items a user has not seen and will like.

    Example: fuserec recommend shop-model user-7 -k 5 --diversity 0.3 --explain

    Example: fuserec recommend shop-model --items item-3,item-17
    """
    from fuserec.artifact import load_model
    from fuserec.cli import console, steps
    from fuserec.interest import interest_profile
    from fuserec.recommenders.rerank import rerank

    loaded = load_model(model)
    chosen = loaded if diversity is None else rerank(loaded, diversity=diversity)
    session = steps.session_items(user, items)
    found = chosen.recommend(user, k, items=session)
    profile = interest_profile(loaded, user, items=session) if explain else None
    steps.print_items(found, json, explain, profile)
    if not found:
        console.note(f"nothing left to recommend: user {user} has seen every item")


@app.command()
def interests(
    model: Model,
    user: User = None,
    items: Items = None,
    n: Annotated[int, typer.Option("-n", help="how many of each kind", min=1)] = 3,
    json: Json = False,
) -> None:
    """What a user likes more than the catalog has of it: by topic, look and sound, with the items that say so.

    Example: fuserec interests shop-model user-7
    """
    from fuserec.artifact import load_model
    from fuserec.cli import steps
    from fuserec.interest import interest_profile

    session = steps.session_items(user, items)
    steps.print_interests(interest_profile(load_model(model), user, items=session, n=n), json)


@app.command()
def predict(
    model: Model,
    user: Annotated[str, typer.Argument(help="a user id; one that is not known gets what is expected of anybody")],
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="item ids")],
    explain: Annotated[bool, typer.Option("--explain", help="say what a rating is made of, in points")] = False,
    json: Json = False,
) -> None:
    """What a user would rate items, on the scale of the training data, and how likely he is to like them.

    Example: fuserec predict film-model user-7 film-12 film-40 --explain
    """
    from fuserec.artifact import load_model
    from fuserec.cli.rating import predicted, print_predictions
    from fuserec.ratings.predictor import RatingPredictor

    loaded = load_model(model)
    if not isinstance(loaded, RatingPredictor):
        raise OptionError(
            f"{model} holds {type(loaded).__name__}, which ranks and predicts no ratings; train a rating model: "
            "fuserec train SOURCE --model BayesianFactors --out MODEL (see: fuserec list raters)"
        )
    print_predictions(predicted(loaded, user, items, explain), json)


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


@app.command()
def search(
    model: Model,
    text: Annotated[str | None, typer.Option(help="words")] = None,
    image: Annotated[Path | None, typer.Option(help="a picture file")] = None,
    audio: Annotated[Path | None, typer.Option(help="a sound file")] = None,
    video: Annotated[Path | None, typer.Option(help="a video file")] = None,
    by: Annotated[str | None, typer.Option(help="look at this column only, in whatever modality it is")] = None,
    k: K = 10,
    json: Json = False,
) -> None:
    """The items that fit a text, a picture, a sound or a video, across modalities.

    Example: fuserec search shop-model --text "a red wooden kite" --by photo
    """
    from fuserec.artifact import load_model
    from fuserec.cli import steps
    from fuserec.query import search as run

    given: dict[str, str | Path | None] = {"text": text, "image": image, "audio": audio, "video": video}
    query = {modality: value for modality, value in given.items() if value is not None}
    if not query:
        raise OptionError("nothing to search for; give --text, --image, --audio or --video")
    steps.print_items(run(load_model(model), query, k, by=by), json, explain=True)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="encoders, aligners, fusers, recommenders, raters, ...; default: all")
    ] = None,
) -> None:
    """The components there are, plugins included, with what each one is.

    Example: fuserec list encoders
    """
    from fuserec.cli import console, steps

    kinds = [one for one in registry.BUILT_IN if one != "stage"]  # stages are what other components leave
    if kind is not None and kind.removesuffix("s") not in kinds:
        plurals = [f"{one}s" for one in kinds]
        raise OptionError(f"unknown kind {kind!r}{did_you_mean(kind, plurals)} Known: {', '.join(plurals)}.")
    rows = []
    for one in [kind.removesuffix("s")] if kind else kinds:
        for name in registry.components(one):
            component = registry.load(one, name)
            rows.append([name, one, getattr(component, "modality", ""), steps.first_line(component)])
    console.print_table(["name", "kind", "modality", "what it is"], rows)
