"""Every test runs on the CPU, with run-time shape checks, strict rank promotion and a lasting
compilation cache.
"""

import os
import signal
from pathlib import Path

# Read by JAX when it is first imported, and inherited by the processes that tests start.
_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinops-tests" / "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Few steps of small sizes: compiling takes longer than running, and with these options less.  The
# end-to-end tests run what users run.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

# A process that a test starts would compile the sources of the whole package again, a second each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each worker of xdist has cores of its own: the threads of XLA wait for each other on shared ones,
# which makes small arrays several times slower.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    if hasattr(os, "sched_setaffinity"):
        _cores = sorted(os.sched_getaffinity(0))
        _count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.sched_setaffinity(0, _cores[int(_worker[2:]) % len(_cores) :: _count])

import jax  # noqa: E402
import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# (n,) minus (n, 1) is the classic silent error of this field.
jax.config.update("jax_numpy_rank_promotion", "raise")

# Annotations are checked on every call in the rooms where arrays flow; the tower lets an int stand
# for a float, as type checkers do.  The other rooms check what users hand them, with sentences of
# their own that tests provoke on purpose.
install_import_hook(
    [f"pinops.{room}" for room in ("derivatives", "networks", "optimizers", "losses", "training")],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

SHARED = Path(__file__).parents[2] / "shared"


# A shell that starts the tests in the background makes them ignore Ctrl-C, which some of them send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    # An unreadable or unwritable cache costs time, not correctness.
    config.addinivalue_line(
        "filterwarnings", "ignore:Error (reading|writing) persistent compilation cache:UserWarning"
    )


@pytest.fixture(scope="module", autouse=True)
def forgotten():
    """Compiled programs are forgotten with the file that needed them.

    Each maps some pages of memory, of which Linux allows a process 65530: a worker that keeps all
    programs is aborted.
    """
    yield
    jax.clear_caches()


@pytest.fixture(scope="module", autouse=True)
def unregistered():
    """What a file registers is of that file only, whichever others run in the same process."""
    from pinops.problem import _registry  # after the import hook

    catalogue = _registry._catalogue().keys()
    strangers = _registry._classes.keys() - catalogue
    assert not strangers, f"{strangers} were registered by an import: register them in a fixture"
    files = dict(_registry._files)
    yield
    for name in _registry._classes.keys() - catalogue:
        del _registry._classes[name]
    _registry._files.clear()
    _registry._files.update(files)


@pytest.fixture
def float64():
    """Run the test in double precision, as the front doors do."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def shared() -> Path:
    """The folder of literature data beside the repository, which is not part of it.

    What tests show with it ``test_independent.py`` shows without it.
    """
    if not SHARED.is_dir():
        pytest.skip(f"the folder {SHARED} (literature data) is not on this machine")
    return SHARED
