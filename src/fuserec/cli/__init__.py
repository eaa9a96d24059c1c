"""The command line: `commands` and `answers` parse, `steps` calls, `console` prints."""

from fuserec.cli.main import main

__all__ = ["main"]
