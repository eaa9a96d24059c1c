"""`python -m fuserec` is `fuserec`."""

from fuserec.cli import main

main()
