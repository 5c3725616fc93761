"""The step of ``operators.py --step`` in DeepXDE's mode for aligned points (zero coordinate shift):
prints its milliseconds as JSON.

Run by ``operators.py --step --peers PYTHON`` in a Python with DeepXDE and torch
(DDE_BACKEND=pytorch).
"""

import json
import statistics
import time

import deepxde as dde  # pyright: ignore[reportMissingImports]
import numpy as np


def residual(x, u, f):
    gradient = dde.zcs.LazyGrad(x, u)
    return gradient.compute((0, 1)) - 0.01 * gradient.compute((2, 0)) + 0.01 * u**2 - f


class Clock(dde.callbacks.Callback):
    """The time at the end of each step."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_batch_end(self):
        self.times.append(time.perf_counter())


domain = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
equation = dde.data.TimePDE(domain, residual, [], num_domain=256, num_test=8)
functions = dde.data.GRF(length_scale=0.2)
data = dde.zcs.PDEOperatorCartesianProd(
    equation, functions, np.linspace(0, 1, 100)[:, None], 128, function_variables=[0], num_test=2
)
network = dde.nn.DeepONetCartesianProd([100] + [100] * 4, [2] + [100] * 4, "tanh", "Glorot normal")
model = dde.zcs.Model(data, network)
model.compile("adam", lr=1e-3, verbose=0)
clock = Clock()
model.train(iterations=200, display_every=10**9, callbacks=[clock], verbose=0)
print(json.dumps({"ms": 1e3 * statistics.median(np.diff(clock.times)[20:])}))
