"""The application, and the options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from fuserec import __version__

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
Seeds = Annotated[int, typer.Option(help="how often a model that has a seed is fitted", min=1)]
MinRating = Annotated[float | None, typer.Option(help="interactions rated below are left out; default: all count")]
Fusion = Annotated[str | None, typer.Option(help="how columns become one vector (fuserec list fusers)")]
Align = Annotated[
    str | None, typer.Option(help="how columns get one shared space (fuserec list aligners), or none; default: GCCA")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="a key of the recipe, such as normalize.photo=ZScore; may be repeated"),
]
Download = Annotated[bool, typer.Option("--allow-download", help="let encoders fetch their models from the hub")]


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
