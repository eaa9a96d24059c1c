"""Where the command line begins and ends: every error becomes one line, and an exit status."""

import sys

import typer

from fuserec.cli import answers, commands, experiments, serving  # noqa: F401  they add their commands to the application
from fuserec.cli.options import app
from fuserec.errors import FuserecError, OptionError

STOPPED = 130  # the exit status that typer gives to Ctrl-C


def main() -> None:
    """Run the command line: exit status 0, 1 when the work failed, 2 when the call was wrong."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except (FuserecError, OSError) as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        typer.echo(f"error: {_in_words(error)}", err=True)
        sys.exit(2 if isinstance(error, OptionError) else 1)
    except SystemExit as end:
        if end.code == STOPPED:
            typer.echo("stopped; run the same command again to go on", err=True)
        raise


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
