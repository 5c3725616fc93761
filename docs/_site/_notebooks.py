"""The notebooks run before Sphinx reads them, one on each core, into the cache of MyST-NB.

MyST-NB by itself runs one after the other, and a notebook keeps little more than one core busy.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any


def run(app: Any) -> None:
    """Run the notebooks that the cache does not have."""
    import nbformat
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn
    from sphinx.errors import ExtensionError
    from sphinx.util import logging

    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.env.mystnb_config.execution_cache_path)
    waiting = {}
    # From the last one: the longest is among them, and should not run alone at the end.
    for path in sorted((Path(app.srcdir) / "gallery").glob("*.ipynb"), reverse=True):
        notebook = nbformat.read(path, as_version=4)
        try:
            cache.match_cache_notebook(notebook)
        except KeyError:
            waiting[path] = notebook

    cores: SimpleQueue[int] = SimpleQueue()
    for core in _cores():
        cores.put(core)
    timeout = app.config.nb_execution_timeout
    with ThreadPoolExecutor(cores.qsize(), initializer=lambda: _stay_on(cores.get())) as pool:
        results = pool.map(lambda notebook: _execute(notebook, timeout), waiting.values())
        for path, result in zip(waiting, results, strict=True):
            if result.err is not None:
                pool.shutdown(cancel_futures=True)
                raise ExtensionError(f"{path.name} failed:\n{result.exc_string}")
            logging.getLogger(__name__).info("%s took %.0f s", path.name, result.time)
            bundle = CacheBundleIn(result.nb, str(path), data={"execution_seconds": result.time})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _stay_on(core: int) -> None:
    """This thread, and the kernels that it starts: the threads of XLA wait for each other."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _execute(notebook: Any, timeout: int) -> Any:
    from jupyter_cache.executors.utils import single_nb_execution

    with TemporaryDirectory() as folder:
        return single_nb_execution(notebook, cwd=folder, timeout=timeout, allow_errors=False)
