"""Burgers' equation in another library, for the plot of error against seconds: run by
``time_to_accuracy.py --peers PYTHON``.

    PYTHON peer_burgers.py {deepxde,pina,jinns} REFERENCE.npz SECONDS SEED

Network, number of points and reference are those of pinops, in float64; the recipe is that of the
library's own documentation for Burgers' equation (see each function). Prints rows of seconds since
the start of Python and relative L2 errors, as JSON.
"""

import json
import os
import sys
import time

BEGAN = time.monotonic()

import numpy as np  # noqa: E402

WIDTHS = [30, 30, 30]
INTERIOR, BOUNDARY, INITIAL = 4096, 512, 512
VISCOSITY = 0.01 / np.pi


class Watch:
    """The error about every two seconds, until the time limit."""

    def __init__(self, reference: str, seconds: float):
        arrays = np.load(reference)
        self.points, self.u, self.seconds = arrays["points"], arrays["u"], seconds
        self.rows: list[list[float]] = []

    def now(self) -> float:
        return time.monotonic() - BEGAN

    def due(self) -> bool:
        return not self.rows or self.now() - self.rows[-1][0] > 2

    def over(self) -> bool:
        return self.now() > self.seconds

    def note(self, found: np.ndarray) -> None:
        """Record the error of ``found``, the values at ``points``, at the time of this call."""
        now = self.now()
        error = np.linalg.norm(found.ravel() - self.u) / np.linalg.norm(self.u)
        self.rows.append([round(now, 2), float(f"{error:.3e}")])


def deepxde(watch: Watch, seed: int) -> None:
    """DeepXDE's own example for Burgers' equation: Adam for 15 000 steps, then L-BFGS."""
    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde as dde  # pyright: ignore[reportMissingImports]

    dde.config.set_default_float("float64")
    dde.config.set_random_seed(seed)

    def residual(x, y):
        u_x, u_t = (dde.grad.jacobian(y, x, i=0, j=j) for j in (0, 1))
        return u_t + y * u_x - VISCOSITY * dde.grad.hessian(y, x, i=0, j=0)

    class Look(dde.callbacks.Callback):
        def on_epoch_end(self):
            if watch.due():
                watch.note(self.model.predict(watch.points))
            self.model.stop_training = watch.over()

    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    walls = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on_boundary: on_boundary)
    start = dde.icbc.IC(
        domain, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on_initial: on_initial
    )
    numbers = {"num_domain": INTERIOR, "num_boundary": BOUNDARY, "num_initial": INITIAL}
    data = dde.data.TimePDE(domain, residual, [walls, start], **numbers)
    model = dde.Model(data, dde.nn.FNN([2, *WIDTHS, 1], "tanh", "Glorot normal"))
    look = Look()
    model.compile("adam", lr=1e-3)
    model.train(iterations=15_000, callbacks=[look], verbose=0)
    dde.optimizers.set_LBFGS_options(maxiter=1000)
    while not watch.over():
        model.compile("L-BFGS")
        model.train(callbacks=[look], verbose=0)


def pina(watch: Watch, seed: int) -> None:
    """PINA's own example for Burgers' equation: Adam for 1000 steps at a learning rate of 0.006.

    The example ends there; here PINA's L-BFGS follows.
    """
    import lightning  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]
    from pina import LabelTensor, Trainer  # pyright: ignore[reportMissingImports]
    from pina.callback import SwitchOptimizer  # pyright: ignore[reportMissingImports]
    from pina.model import FeedForward  # pyright: ignore[reportMissingImports]
    from pina.optim import TorchOptimizer  # pyright: ignore[reportMissingImports]
    from pina.problem.zoo import BurgersProblem  # pyright: ignore[reportMissingImports]
    from pina.solver import PhysicsInformedSingleModelSolver  # pyright: ignore[reportMissingImports]

    torch.set_default_dtype(torch.float64)
    lightning.seed_everything(seed, verbose=False)
    problem = BurgersProblem(nu=VISCOSITY)
    for domain, number in {"D": INTERIOR, "boundary": BOUNDARY, "t0": INITIAL}.items():
        problem.discretise_domain(number, "random", domains=domain)
    points = LabelTensor(torch.tensor(watch.points), ["x", "t"]).extract(problem.input_variables)

    class Look(lightning.pytorch.Callback):
        def on_train_batch_end(self, trainer, solver, *_):
            if watch.due():
                with torch.no_grad():
                    watch.note(solver(points).numpy())
            trainer.should_stop = watch.over()

    model = FeedForward(2, 1, layers=WIDTHS, func=torch.nn.Tanh)
    solver = PhysicsInformedSingleModelSolver(
        problem, model, TorchOptimizer(torch.optim.Adam, lr=0.006)
    )
    lbfgs = TorchOptimizer(torch.optim.LBFGS, lr=1.0, line_search_fn="strong_wolfe")
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    callbacks = [SwitchOptimizer(lbfgs, epoch_switch=1000), Look()]
    Trainer(solver, max_epochs=-1, accelerator="cpu", callbacks=callbacks, **quiet).train()


def jinns(watch: Watch, seed: int) -> None:
    """jinns' own notebook for Burgers' equation: natural gradient with defaults, all weights 1."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import jinns  # pyright: ignore[reportMissingImports]
    from jax.experimental import io_callback
    from jinns.validation import AbstractValidationModule  # pyright: ignore[reportMissingImports]

    jax.config.update("jax_enable_x64", True)
    keys = jax.random.split(jax.random.PRNGKey(seed))
    sizes = [2, *WIDTHS]
    hidden = [
        layer
        for pair in zip(sizes, WIDTHS, strict=False)
        for layer in ((eqx.nn.Linear, *pair), (jax.nn.tanh,))
    ]
    layers = (*hidden, (eqx.nn.Linear, WIDTHS[-1], 1))
    u, start = jinns.nn.PINN_MLP.create(key=keys[0], eqx_list=layers, eq_type="PDENonStatio")
    numbers = {"n": INTERIOR, "nb": BOUNDARY, "ni": INITIAL, "dim": 1}
    box = {"min_pts": (-1,), "max_pts": (1,), "tmin": 0, "tmax": 1}
    data = jinns.data.CubicMeshPDENonStatio(key=keys[1], **numbers, **box, method="uniform")
    params = jinns.parameters.Params(nn_params=start, eq_params={"nu": jnp.array(VISCOSITY)})
    loss = jinns.loss.LossPDENonStatio(
        u=u,
        loss_weights=jinns.loss.LossWeightsPDENonStatio(
            dyn_loss=1, initial_condition=1, boundary_loss=1
        ),
        dynamic_loss=jinns.loss.BurgersEquation(Tmax=1),
        boundary_condition=jinns.loss.Dirichlet(),
        initial_condition_fun=lambda x: -jnp.sin(jnp.pi * x),
        params=params,
    )
    points = jnp.asarray(watch.points[:, ::-1])  # time first

    def note(due, found):
        if due:
            watch.note(found)
        return np.bool_(watch.over())

    class Look(AbstractValidationModule):
        """jinns' hook between two steps. Its loop is one compiled program, so that the clock is
        asked from inside.
        """

        call_every: int = 1

        def __call__(self, params):
            yes_or_no = jax.ShapeDtypeStruct((), bool)
            # The argument makes the clock wait for the step.
            due = io_callback(
                lambda _: np.bool_(watch.due()), yes_or_no, jax.tree.leaves(params)[0]
            )
            found = jax.lax.cond(
                due,
                lambda: jax.vmap(lambda point: u(point, params)[0])(points),
                lambda: jnp.zeros(len(points)),
            )
            return self, io_callback(note, yes_or_no, due, found), jnp.nan, False

    optimizer = jinns.optimizers.vanilla_ngd()
    jinns.solve(
        n_iter=100_000,
        init_params=params,
        data=data,
        loss=loss,
        optimizer=optimizer,
        validation=Look(),
        verbose=False,
    )


# The name on the plot and the function, which is named after the package that it imports.
PEERS = {"DeepXDE, torch": deepxde, "PINA, torch": pina, "jinns": jinns}

if __name__ == "__main__":
    name, reference, seconds, seed = sys.argv[1:]
    watch = Watch(reference, float(seconds))
    {run.__name__: run for run in PEERS.values()}[name](watch, int(seed))
    print(json.dumps(watch.rows))
