"""The examples in docstrings run."""

import doctest
import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po

PACKAGE = Path(po.__file__).parent
EXAMPLES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if re.search(r"^ +(Examples?:|>>> )", path.read_text("utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_in_docstrings_run(path):
    """`po`, `np`, `jnp` and `jax` are imported; an example is Python as one types it."""
    text = path.read_text("utf-8")
    for said in re.findall(r"^ +Examples?:(.*(?:\n(?: +[^>\n].*)?){0,4}\n? +>>> )?", text, re.M):
        assert said, f"{path} has an example that does not run"
    name = ".".join(["pinops", *path.relative_to(PACKAGE).with_suffix("").parts])
    module = importlib.import_module(name)
    names = vars(module) | {"po": po, "np": np, "jnp": jnp, "jax": jax}
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names)
    runner, said = doctest.DocTestRunner(verbose=False), []
    for example in found:
        runner.run(example, out=said.append)
    tries = runner.summarize(verbose=False)
    assert tries.failed == 0, "".join(said)
    assert tries.attempted >= 1
