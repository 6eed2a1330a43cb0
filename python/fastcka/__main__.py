"""``python -m fastcka``: the command line."""

from fastcka.cli import main

main()
