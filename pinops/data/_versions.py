"""What a result was computed with: versions of packages, Python, the machine and its devices."""

import platform
from importlib.metadata import version

import jax

_PACKAGES = ("pinops", "jax", "jaxlib", "equinox", "optax", "numpy")


def versions() -> dict[str, str]:
    """The versions of the packages that numbers depend on, as in ``run.json``."""
    return {name: version(name) for name in _PACKAGES}


def environment() -> dict[str, str]:
    """`versions`, with Python, the platform and the devices: what an issue report needs."""
    kinds = [device.device_kind for device in jax.devices()]
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    return versions() | {
        "Python": platform.python_version(),
        "platform": platform.platform(),
        "devices": counted,
    }
