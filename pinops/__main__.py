"""``python -m pinops``: the ``pinops`` command."""

from pinops.cli import main

main()
