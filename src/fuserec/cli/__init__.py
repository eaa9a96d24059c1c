"""The command line: `commands` parses, `steps` calls, `console` prints."""

from fuserec.cli.commands import main

__all__ = ["main"]
