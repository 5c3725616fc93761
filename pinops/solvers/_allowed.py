"""The names that text and JSON may use for our objects: one table for the command line and for run
directories.
"""

from pinops import derivatives, losses, networks, operators, optimizers, problem, sampling, training
from pinops.settings import Allowed, allowed_in

_ROOMS = (networks, operators, optimizers, losses, sampling, derivatives, problem, training)
# They hold functions and objects of other libraries, which no text describes.
_PYTHON_ONLY = ("Only", "Optax", "Continuation")

_WRITTEN = {"Uncertain": "uncertain"}  # classes that a function of the front page makes


def allowed(*kinds: type) -> Allowed:
    """The classes of these kinds by name, and the activations: ``allowed(Architecture)``.

    Args:
        kinds: base classes; also those of the objects inside, such as ``allowed(Collocation,
            Sampler)``.
    """
    table = allowed_in(*_ROOMS, kind=kinds, functions=networks.activations)
    objects = {
        _WRITTEN.get(name, name): cls
        for name, cls in table.objects.items()
        if name not in _PYTHON_ONLY
    }
    return Allowed(objects, table.functions)
