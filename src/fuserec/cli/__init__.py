"""The command line: `entry` begins and ends it, `commands` and `answers` parse, `steps` calls, `console` prints."""

from fuserec.cli.entry import main

__all__ = ["main"]
