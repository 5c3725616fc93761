"""The ``pinops`` command: everything that needs no Python.

A command is a file with two functions. Two instances: ``_solve.arguments`` declares what ``pinops
solve`` takes, ``_solve.run`` does it. Objects (networks, optimizers, samplers) are written as in
Python and in ``run.json``, and read by `pinops.settings.parsed`: names of a table and literals,
nothing is evaluated. So a plain `argparse` parser suffices; its errors become one sentence.

Exit codes: 0 solved, 2 invalid usage or input (one sentence on stderr), 3 training diverged,
130 interrupted (a checkpoint is there).
"""

from pinops.cli._command import main as main
from pinops.cli._command import run as run
