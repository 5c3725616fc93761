"""Operators: from what is known of a problem (functions, parameters) to its solution.

An operator maps the inputs of a problem to a network of the coordinates, which is then a field like any other: it knows its
derivatives, and conditions are imposed on it exactly.  Operators are written for one problem; batches are `jax.vmap`.
"""

from pinops.operators._deeponet import DeepONet as DeepONet
from pinops.operators._deeponet import DeepONetwork as DeepONetwork
from pinops.operators._operator import Operator as Operator
from pinops.operators._operator import OperatorArchitecture as OperatorArchitecture
