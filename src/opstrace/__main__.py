"""`python -m opstrace`: the command, for whoever has the package but not the script."""

from opstrace.cli import main

main(prog_name="opstrace")
