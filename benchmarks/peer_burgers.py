"""Burgers' equation in DeepXDE, for the plot of error against seconds: run by ``time_to_accuracy.py --peers PYTHON``.

    PYTHON peer_burgers.py REFERENCE.npz SECONDS SEED

The same network, number of points and reference as in pinops, float64, with the recipe of DeepXDE's own example: Adam for 15 000
steps, then L-BFGS. Prints rows of seconds since the start of Python and the relative L2 error, as JSON.
"""

import json
import sys
import time

BEGAN = time.monotonic()

import deepxde as dde  # noqa: E402  # pyright: ignore[reportMissingImports]
import numpy as np  # noqa: E402

reference, seconds, seed = np.load(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
dde.config.set_default_float("float64")
dde.config.set_random_seed(seed)


def residual(x, y):
    u_x, u_t = (dde.grad.jacobian(y, x, i=0, j=j) for j in (0, 1))
    return u_t + y * u_x - 0.01 / np.pi * dde.grad.hessian(y, x, i=0, j=0)


class Watch(dde.callbacks.Callback):
    """The error about every two seconds, and the end of the time."""

    def __init__(self):
        super().__init__()
        self.rows: list[list[float]] = []

    def on_epoch_end(self):
        now = time.monotonic() - BEGAN
        if not self.rows or now - self.rows[-1][0] > 2:
            found = self.model.predict(reference["points"])[:, 0]
            error = np.linalg.norm(found - reference["u"]) / np.linalg.norm(reference["u"])
            self.rows.append([round(now, 2), float(f"{error:.3e}")])
        self.model.stop_training = now > seconds


domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
walls = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on_boundary: on_boundary)
start = dde.icbc.IC(domain, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on_initial: on_initial)
data = dde.data.TimePDE(domain, residual, [walls, start], num_domain=4096, num_boundary=512, num_initial=512)
model = dde.Model(data, dde.nn.FNN([2, 30, 30, 30, 1], "tanh", "Glorot normal"))
watch = Watch()
model.compile("adam", lr=1e-3)
model.train(iterations=15_000, callbacks=[watch], verbose=0)
dde.optimizers.set_LBFGS_options(maxiter=1000)
while time.monotonic() - BEGAN < seconds:
    model.compile("L-BFGS")
    model.train(callbacks=[watch], verbose=0)
print(json.dumps(watch.rows))
