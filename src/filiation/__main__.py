"""`python -m filiation`."""

from filiation.cli import main

main()
