"""The front doors `solve`, `load`, `invert`: what they promise, and one clear sentence for each
invalid argument.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import flax.linen as linen
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay import Decay
from flax import nnx

import pinops as po
from pinops.optimizers import Adam, SSBroyden

NETWORK = po.networks.MLP(width=8, depth=2)
POINTS = po.Collocation(interior=128, boundary=32, initial=32, every=0, refinement=None)
QUICK = {"network": NETWORK, "points": POINTS, "optimizer": SSBroyden(), "progress": False}


class Oscillator(po.Problem):
    """u' = v, v' = -u: two unknowns, no reference."""

    domain = po.Box(t=(0, 1))
    unknowns = ("u", "v")

    def residual(self, u, v, u_t, v_t):
        return {"position": u_t - v, "velocity": v_t + u}

    def conditions(self):
        return (po.Initial({"u": 0.0, "v": 1.0}),)


@pytest.fixture(scope="module", autouse=True)
def registered():
    """A problem that `load` finds by its name."""
    po.register("decay_for_tests")(Decay)


@pytest.fixture(scope="module")
def heat() -> po.Solution:
    return po.solve("heat", **QUICK, steps=100)


@pytest.fixture(scope="module")
def decay(registered) -> po.Solution:
    return po.solve(Decay(), **QUICK, steps=100)


@pytest.fixture
def run(decay, tmp_path) -> Path:
    """A run directory that may be damaged."""
    return decay.save(tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# What a solution is


def test_a_solution_is_a_function_of_named_coordinates(heat):
    def exact(x, t):
        return np.exp(-(np.pi**2) * t / 4) * np.sin(np.pi * x)

    x, t = np.linspace(0, 1, 7)[:, None], np.linspace(0, 1, 5)
    values = heat(x=x, t=t)
    assert isinstance(values, np.ndarray) and values.dtype == np.float64
    assert values.shape == (7, 5) and values == pytest.approx(exact(x, t), abs=1e-2)
    assert heat(x=0.3, t=0.5).shape == () and float(heat(x=0.3, t=0.5)) == pytest.approx(
        exact(0.3, 0.5), abs=1e-2
    )
    assert heat(t=[0.1, 0.2], x=0.5).shape == (2,)
    assert heat(x=np.float32(0.5), t=1) == heat(x=0.5, t=1.0)
    assert heat(x=[0.0, 1.0], t=0.7) == pytest.approx(0.0, abs=1e-14)  # imposed exactly
    assert float(heat(x=0.3, t=0.0)) == pytest.approx(exact(0.3, 0.0), abs=1e-14)


def test_several_unknowns_come_by_name():
    solution = po.solve(Oscillator(), **QUICK, steps=100)
    values = solution(t=np.linspace(0, 1, 9))
    assert set(values) == {"u", "v"}
    assert values["u"] == pytest.approx(np.sin(np.linspace(0, 1, 9)), abs=1e-3)
    assert values["v"] == pytest.approx(np.cos(np.linspace(0, 1, 9)), abs=1e-3)
    assert set(solution.history[-1].terms) == {"position", "velocity"}
    with pytest.raises(ValueError, match="Oscillator has no reference to compare with"):
        solution.error()
    assert solution.summary()["relative_l2"] == {} and solution.summary()["reference"] is None


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ({"x": 0.1, "y": 0.2, "t": 0.3}, "there is no coordinate 'y'; the coordinates are x, t"),
        ({"x": 0.1}, "the coordinate 't' is missing; give x, t"),
        ({}, "the coordinate 'x' is missing"),
        (
            {"x": np.zeros(3), "t": np.zeros(4)},
            "must broadcast against each other, got shapes .*(3,).*(4,)",
        ),
    ],
)
def test_coordinates_that_do_not_exist(heat, coordinates, message):
    with pytest.raises(ValueError, match=re.sub(r"([()])", r"\\\1", message)):
        heat(**coordinates)


def test_partial_derivatives_by_name(heat):
    x, t, h = np.linspace(0.1, 0.9, 5), 0.4, 1e-4
    difference = (heat(x=x + h, t=t) - heat(x=x - h, t=t)) / (2 * h)
    assert heat.partial("u_x", x=x, t=t) == pytest.approx(difference, abs=1e-6)
    assert heat.partial("u_t", x=x, t=t) == pytest.approx(
        heat.partial("u_xx", x=x, t=t) / 4, abs=0.3
    )
    assert heat.partial("u_xt", x=x[:, None], t=[0.1, 0.2]).shape == (5, 2)
    assert heat.partial("grad_u", x=x, t=t)[:, 0] == pytest.approx(heat.partial("u_x", x=x, t=t))
    with pytest.raises(ValueError, match="the argument 'w_x' names nothing"):
        heat.partial("w_x", x=0.1, t=0.1)


def test_the_error_is_over_the_whole_reference_grid(heat):
    reference = heat.reference
    difference = heat(**reference.coordinates) - reference.values["u"]
    error = heat.error()["u"]
    assert error["mean"] == pytest.approx(
        np.linalg.norm(difference) / np.linalg.norm(reference.values["u"])
    )
    assert error["max_abs"] == np.max(np.abs(difference))
    assert error["mean"] < 1e-2


def test_the_summary_has_the_keys_of_the_contract(heat):
    summary = json.loads(json.dumps(heat.summary()))
    keys = "problem relative_l2 max_abs seconds compile_seconds steps parameters seed dtype device"
    keys += " reference"
    assert set(keys.split()) <= set(summary)
    assert summary["problem"] == "heat" and summary["steps"] == 100 and summary["seed"] == 0
    assert summary["parameters"] == 2 * 8 + 8 + 8 * 8 + 8 + 8 + 1
    assert summary["relative_l2"] == {"u": heat.error()["u"]["mean"]}
    assert (
        set(summary["reference"]) == {"kind", "error_bar"}
        and 0 < summary["reference"]["error_bar"]["u"] < 1e-10
    )
    assert 0 < summary["compile_seconds"] <= summary["seconds"]
    assert summary["conditions"] == [
        "u = data at t = 0: imposed exactly",
        "u = 0 on x_min and x_max: imposed exactly",
    ]


def test_a_saved_solution_comes_back_with_equal_values(heat, tmp_path):
    folder = heat.save(tmp_path / "deep" / "run")
    names = {"run.json", "history.h5", "solution.h5", "checkpoint/state.h5"}
    assert set(contents(folder)) == names
    loaded = po.load(folder)
    x, t = np.linspace(0, 1, 7)[:, None], np.linspace(0, 1, 5)
    assert np.array_equal(loaded(x=x, t=t), heat(x=x, t=t))
    assert loaded.history == heat.history and loaded.status == heat.status == "finished"
    assert loaded.summary() == heat.summary()
    with h5py.File(folder / "solution.h5") as file:
        grid = {name: file[f"coordinates/{name}"][()] for name in ("x", "t")}
        assert np.array_equal(file["solution/u"][()], heat(**grid))
        assert np.array_equal(file["error/u"][()], file["solution/u"][()] - file["reference/u"][()])
    with h5py.File(folder / "history.h5") as file:
        assert (
            file["loss"][-1] == heat.history[-1].loss
            and file["terms/residual"].shape == file["step"].shape
        )
    loaded.save(tmp_path / "again")
    assert np.array_equal(po.load(tmp_path / "again")(x=x, t=t), heat(x=x, t=t))


def test_a_target_stops_training():
    solution = po.solve(Decay(), **QUICK, steps=1000, target=1e-4)
    assert solution.status == "stopped" and solution.steps < 1000
    assert solution.error()["u"]["mean"] <= 1e-4


def test_the_seed_decides_everything(decay):
    assert np.array_equal(po.solve(Decay(), **QUICK, steps=100)(t=0.3), decay(t=0.3))
    assert not np.array_equal(po.solve(Decay(), **QUICK, steps=100, seed=1)(t=0.3), decay(t=0.3))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_callers_configuration_is_left_alone(dtype):
    for outside in (False, True):
        with jax.enable_x64(outside):
            before = dict(jax.config.values)
            solution = po.solve(Decay(), **QUICK | {"optimizer": Adam(1e-2)}, steps=20, dtype=dtype)
            assert dict(jax.config.values) == before and jax.config.jax_enable_x64 == outside
            assert solution(t=0.5).dtype == dtype
            assert jnp.zeros(1).dtype == ("float64" if outside else "float32")


@pytest.mark.slow
def test_the_default_recipe_is_accurate_in_seconds():
    """A smooth problem in one dimension, nothing chosen but the budget."""

    class Bump(po.Problem):
        domain = po.Box(x=(0, 1))

        def residual(self, u_xx, x):
            return u_xx + jnp.pi**2 * jnp.sin(jnp.pi * x)

        def conditions(self):
            return (po.Dirichlet(0.0, on="x"),)

        def exact(self, x):
            return jnp.sin(jnp.pi * x)

    solution = po.solve(
        Bump(), points=po.Collocation(interior=256), steps=800, target=1e-6, progress=False
    )
    assert solution.error()["u"]["mean"] <= 1e-6


# Any network, any optimizer


class LinenNetwork(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(1)(jnp.tanh(linen.Dense(8)(jnp.tanh(linen.Dense(8)(x)))))


class NNXNetwork(nnx.Module):
    def __init__(self, inputs, outputs, rngs):
        self.first, self.second = nnx.Linear(inputs, 8, rngs=rngs), nnx.Linear(8, 8, rngs=rngs)
        self.last = nnx.Linear(8, outputs, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.second(jnp.tanh(self.first(x)))))


def plain(params, x):
    return params["b"] @ jnp.tanh(params["a"] @ x + params["c"])


def plain_parameters():
    rng = np.random.default_rng(0)
    return {
        "a": rng.normal(size=(8, 2)),
        "b": 0.3 * rng.normal(size=(1, 8)),
        "c": rng.normal(size=8),
    }


NETWORKS = {
    "linen": lambda: po.networks.FromLinen(LinenNetwork()),
    "nnx": lambda: po.networks.FromNNX(lambda i, o, rngs: NNXNetwork(i, o, rngs)),
    "equinox": lambda: eqx.nn.MLP(2, 1, 8, 2, jnp.tanh, key=jax.random.key(0)),
    "function": lambda: jax.tree_util.Partial(plain, plain_parameters()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_solves_a_pde(name, tmp_path):
    """In double precision whatever it was made in, saved, and loaded when given again."""
    network, out = NETWORKS[name](), tmp_path / "a_folder_with_a_long_name" / "run"
    solution = po.solve("heat", **QUICK | {"network": network}, steps=100, out=out)
    assert solution.error()["u"]["mean"] < 1e-2
    assert {leaf.dtype for leaf in jax.tree.leaves(solution.params)} == {np.dtype(np.float64)}
    with pytest.raises(
        ValueError,
        match=r"cannot be made again .*; give the same one, load\(\.\.\., network=\.\.\.\)",
    ):
        po.load(out)
    assert po.load(out, network=network)(x=0.3, t=0.3) == solution(x=0.3, t=0.3)


OPTIMIZERS = {
    "sgd": lambda: optax.sgd(1e-3),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2)),
    "lbfgs": lambda: optax.lbfgs(),
    "adam": lambda: Adam(1e-2, 100),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_trains(name):
    solution = po.solve(Decay(), **QUICK | {"optimizer": OPTIMIZERS[name]()}, steps=100)
    assert solution.steps == 100 and solution.history[-1].loss < solution.history[0].loss


def test_phases_follow_each_other():
    phases = (po.Phase(optax.adam(1e-2), 50), po.Phase(SSBroyden(), 60))
    solution = po.solve(Decay(), **QUICK | {"optimizer": phases})
    assert [report.phase for report in solution.history][0::2] == [
        "adam",
        "SSBroyden",
    ] and solution.steps == 110
    with pytest.raises(ValueError, match="steps and phases exclude each other"):
        po.solve(Decay(), **QUICK | {"optimizer": phases}, steps=3)


# Inverse problems


def test_a_coefficient_is_found_from_observations(tmp_path):
    t = np.linspace(0, 1, 12)
    observed = po.Observed({"t": t}, {"u": np.exp(-1.7 * t)})
    solution = po.invert(
        Decay(rate=1.0), observed, unknown="rate", **QUICK, steps=150, out=tmp_path / "run"
    )
    assert solution.coefficients["rate"] == pytest.approx(1.7, rel=1e-4)
    assert solution.history[-1].coefficients["rate"] == pytest.approx(solution.coefficients["rate"])
    assert "observed u" in solution.history[-1].terms
    loaded = po.load(tmp_path / "run")
    assert loaded.coefficients == solution.coefficients and loaded(t=0.5) == solution(t=0.5)
    # The exact solution of the loaded problem belongs to the first guess.
    assert (
        solution.reference is None
        and loaded.reference is None
        and loaded.summary()["relative_l2"] == {}
    )


@pytest.mark.parametrize("steps", [120, 300])
def test_a_short_training_of_the_default_recipe_ends_with_ssbroyden(steps):
    """300 steps of Adam alone would leave the rate far from its value, without a word."""
    t = np.linspace(0, 1, 12)
    observed = po.Observed({"t": t}, {"u": np.exp(-1.7 * t)})
    quick = {"network": NETWORK, "points": POINTS, "progress": False}
    solution = po.invert(Decay(rate=0.3), observed, unknown="rate", **quick, steps=steps)
    assert solution.coefficients["rate"] == pytest.approx(1.7, rel=1e-4)
    assert solution.request["phase_steps"] == [steps // 4] and solution.steps == steps


def test_a_run_of_the_default_recipe_goes_on_as_it_began(tmp_path):
    quick = {"network": NETWORK, "points": POINTS, "progress": False, "out": tmp_path}
    first = po.solve(Decay(), **quick, steps=20)
    more = po.solve(Decay(), **quick, steps=2000, resume=True, callbacks=[lambda r: r.step >= 60])
    assert first.request["phase_steps"] == more.request["phase_steps"] == [5]
    assert more.steps >= 60 and more.history[-1].loss < first.history[-1].loss


def test_the_exact_solution_of_a_guess_is_no_reference():
    class Unknown(po.Problem):
        domain = po.Box(t=(0, 1))
        trainable = ("rate",)
        rate: float = po.positive(1.0)

        def residual(self, u, u_t):
            return u_t + self.rate * u

        def conditions(self):
            return po.Initial(1.0), po.Observed({"t": [0.5]}, {"u": [0.5]})

        def exact(self, t):
            return jnp.exp(-self.rate * t)

    assert Unknown().reference() is None


def test_what_invert_needs():
    observed = po.Observed({"t": [0.5]}, {"u": [0.5]})
    for arguments in ({}, {"observations": observed}, {"unknown": "rate"}):
        with pytest.raises(ValueError, match="give both observations and unknown"):
            po.invert(Decay(), **arguments)
    with pytest.raises(
        ValueError, match="Decay has no coefficient 'speed' to be found; it has rate"
    ):
        po.invert(Decay(), observed, unknown="speed")
    with pytest.raises(ValueError, match=r"Observed: 'w' is no unknown \(u\)"):
        po.invert(
            Decay(), po.Observed({"t": [0.5]}, {"w": [0.5]}), unknown="rate", **QUICK, steps=1
        )
    with pytest.raises(ValueError, match="there is no coordinate 'x'; the coordinates are t"):
        po.invert(
            Decay(), po.Observed({"x": [0.5]}, {"u": [0.5]}), unknown="rate", **QUICK, steps=1
        )
    with pytest.raises(
        ValueError, match=r"u has 1 value\(s\) that are not finite \(the first is nan at row 1\)"
    ):
        po.Observed({"t": [0.5, 0.6]}, {"u": [0.5, np.nan]})


def test_a_manufactured_problem_is_saved_and_loaded(tmp_path):
    problem = po.manufacture(Decay(rate=3.0), exact=lambda t: jnp.cos(t))
    solution = po.solve(problem, **QUICK, steps=60, out=tmp_path / "run")
    assert solution.error()["u"]["mean"] < 1e-2
    with pytest.raises(
        ValueError, match=r"must be given, load\(\.\.\., problem=\.\.\.\): there is no problem"
    ):
        po.load(tmp_path / "run")
    assert po.load(tmp_path / "run", problem=problem)(t=0.5) == solution(t=0.5)


# Bad input: one clear sentence each


def variant(**body):
    return type(
        "Bad", (po.Problem,), {"__annotations__": {}, "domain": po.Box(x=(0, 1), t=(0, 1)), **body}
    )


def hidden():
    return po.Disk(x=0, y=0, radius=1.0) - po.Disk(x=0, y=0, radius=2.0)


CASES = {
    "unknown problem": (
        lambda: po.solve("burger"),
        "there is no problem 'burger'; did you mean 'burgers'?",
    ),
    "unknown coefficient": (
        lambda: po.load_problem("burgers", viscosty=1.0),
        "no coefficient 'viscosty'; did you mean 'viscosity'?",
    ),
    "negative viscosity": (
        lambda: po.load_problem("burgers", viscosity=-1.0),
        "viscosity must be greater than zero, got -1.0",
    ),
    "coefficient that is no number": (
        lambda: po.load_problem("heat", diffusivity="x"),
        "diffusivity must be a number, got 'x'",
    ),
    "reversed box": (
        lambda: po.Box(x=(1, 0)),
        "x must run from low to high, got (1, 0); swap the ends",
    ),
    "argument that names nothing": (
        lambda: po.solve(variant(residual=lambda self, u, u_y: u)(), **QUICK, steps=1),
        "the argument 'u_y' names nothing",
    ),
    "wrong shape": (
        lambda: po.solve(
            variant(residual=lambda self, u, u_x: jnp.stack([u, u_x]))(), **QUICK, steps=1
        ),
        "Bad, residual",
    ),
    "NaN": (
        lambda: po.solve(
            variant(residual=lambda self, u, x: jnp.sqrt(x - 0.5) + u)(), **QUICK, steps=1
        ),
        "Bad: 'residual' is nan at x = 0.",
    ),
    "NaN in a condition": (
        lambda: po.solve(
            variant(
                residual=lambda self, u: u,
                conditions=lambda self: (
                    po.Dirichlet(lambda t: jnp.log(t - 2), on="x", soft=True),
                ),
            )(),
            **QUICK,
            steps=1,
        ),
        "Bad: 'dirichlet u on x' is nan at x = ",
    ),
    "empty domain": (
        lambda: po.solve(variant(domain=hidden(), residual=lambda self, u: u)(), **QUICK, steps=1),
        "it is empty or a sliver of its bounding box",
    ),
    "face that does not exist": (
        lambda: po.solve(
            variant(
                residual=lambda self, u: u, conditions=lambda self: (po.Dirichlet(0.0, on="y_min"),)
            )(),
            **QUICK,
        ),
        "no boundary part 'y_min'",
    ),
    "zero steps": (
        lambda: po.solve(Decay(), **QUICK, steps=0),
        "steps must be a whole number from 1 to",
    ),
    "no minutes": (
        lambda: po.solve(Decay(), **QUICK, minutes=0),
        "minutes must be a number greater than zero, got 0",
    ),
    "precision": (
        lambda: po.solve(Decay(), dtype="float16"),
        "dtype must be float64 or float32, got 'float16'",
    ),
    "seed": (
        lambda: po.solve(Decay(), seed=-1),
        "seed must be a whole number from 0 to 2^32 - 1, got -1",
    ),
    "large seed": (
        lambda: po.solve(Decay(), seed=10**20),
        "seed must be a whole number from 0 to 2^32 - 1",
    ),
    "target": (
        lambda: po.solve(Decay(), target=-1.0),
        "relative_l2 must be a finite number greater than 0, got -1.0",
    ),
    "checkpoints": (
        lambda: po.solve(Decay(), checkpoint_seconds=-1),
        "checkpoint_seconds must be zero or more, got -1",
    ),
    "resume what": (
        lambda: po.solve(Decay(), resume=True),
        "resume needs out, the run directory to go on from",
    ),
    "network of other size": (
        lambda: po.solve(
            Decay(), network=eqx.nn.MLP(3, 1, 8, 2, key=jax.random.key(0)), progress=False
        ),
        "the network cannot be called with 1 feature, an array of shape (1,)",
    ),
    "network of other output": (
        lambda: po.solve(
            Decay(), network=eqx.nn.MLP(1, 2, 8, 2, key=jax.random.key(0)), progress=False
        ),
        "one value per unknown (u), shape (1,); it returns shape (2,)",
    ),
    "no network": (
        lambda: po.solve(Decay(), network=3, progress=False),
        "the network cannot be called with 1 feature",
    ),
    "width": (
        lambda: po.networks.MLP(width=0),
        "MLP: width must be a whole number from 1 to",
    ),
    "weight": (
        lambda: po.losses.Fixed(condition=-1.0),
        "Fixed: condition must be a finite number of at least 0, got -1.0",
    ),
    "weight of nothing": (
        lambda: po.solve(Decay(), **QUICK, weighting=po.losses.Fixed({"initial": 2.0}), steps=1),
        "Fixed: there is no term 'initial'; the terms are residual",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_sentence(name):
    call, message = CASES[name]
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_optimizer_is_an_object():
    with pytest.raises(
        TypeError, match=r"must be one of pinops\.optimizers or an optax transformation"
    ):
        po.solve(Decay(), optimizer="adam")


# Run directories: nothing that was saved is lost


def refused(folder: Path, error: type[Exception], message: str, call):
    before = contents(folder)
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value), str(caught.value)
    assert contents(folder) == before


def again(folder, **options):
    return po.solve(Decay(), **{**QUICK, "steps": 100, "out": folder, **options})


def test_another_run_in_the_same_folder_is_refused(run):
    refused(
        run,
        ValueError,
        "already holds a run; choose another folder, or resume it",
        lambda: again(run),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "holds a run with seed = 0, not 1"),
        ({"dtype": "float32"}, "holds a run with dtype = float64, not float32"),
        ({"network": po.networks.MLP(width=9, depth=2)}, "holds a run with network = "),
        ({"optimizer": Adam(1e-2)}, "holds a run with phases = "),
        ({"points": po.Collocation(interior=64)}, "holds a run with collocation = "),
        ({"weighting": po.losses.Fixed(condition=1.0)}, "holds a run with weighting = "),
    ],
)
def test_resuming_with_other_arguments_is_refused(run, options, message):
    refused(run, ValueError, message, lambda: again(run, resume=True, **options))


def test_resuming_with_other_observations_or_another_learning_rate_is_refused(tmp_path):
    t = np.linspace(0, 1, 5)
    options = {**QUICK, "steps": 2}

    def invert(rate, **more):
        return po.invert(
            Decay(),
            po.Observed({"t": t}, {"u": np.exp(-rate * t)}),
            unknown="rate",
            **{**options, "out": tmp_path / "a", **more},
        )

    invert(1.5)
    refused(
        tmp_path / "a",
        ValueError,
        "holds a run with observations = ",
        lambda: invert(1.6, resume=True),
    )

    def solve(rate, **more):
        return po.solve(
            Decay(),
            **{
                **options,
                "optimizer": optax.adam(optax.cosine_decay_schedule(rate, 10)),
                "out": tmp_path / "b",
                **more,
            },
        )

    solve(1e-2)
    refused(
        tmp_path / "b", ValueError, "holds a run with phases = ", lambda: solve(1e-3, resume=True)
    )
    assert solve(1e-2, resume=True).steps == 2


def test_saving_does_not_overwrite_another_run_or_a_fuller_checkpoint(run, decay, heat, tmp_path):
    refused(
        run,
        ValueError,
        "holds another run, with a different problem; choose another folder",
        lambda: heat.save(run),
    )
    po.load(run).save(run)
    assert (
        again(run, resume=True, steps=101).steps == 101
    )  # the state of the training is still there


def test_a_target_needs_a_reference():
    with pytest.raises(
        ValueError, match="target needs a reference to compare with, and Oscillator has none"
    ):
        po.solve(Oscillator(), **QUICK, steps=1, target=1e-3)


class _WithFixedFeatures(po.networks.Architecture):
    """Random features that are not trained: they must come back when a run is loaded."""

    def build(self, in_size, out_size, *, key):
        features, weights = jax.random.normal(key, (in_size, 8)), jnp.zeros((8, out_size))

        def function(arrays, x):
            return jnp.tanh(x @ arrays[0].tree) @ arrays[1]

        return jax.tree_util.Partial(function, (po.networks.Frozen(features), weights))


def test_what_a_network_keeps_fixed_comes_back(tmp_path):
    network = _WithFixedFeatures()
    solution = po.solve(
        Decay(), **QUICK | {"network": network}, steps=5, seed=3, out=tmp_path / "run"
    )
    assert po.load(tmp_path / "run", problem=Decay(), network=network)(t=0.3) == solution(t=0.3)


def test_static_coefficients_come_back_as_they_were(tmp_path):
    class Modes(po.Problem):
        domain = po.Box(t=(0, 1))
        modes: tuple[int, ...] = eqx.field(static=True, default=(1, 2))

        def residual(self, u, u_t):
            return u_t - sum(self.modes) * u

        def conditions(self):
            return (po.Initial(1.0),)

    po.register("modes_for_tests")(Modes)
    po.solve("modes_for_tests", **QUICK, steps=1, out=tmp_path / "run")
    assert po.load(tmp_path / "run").problem.modes == (1, 2)


def test_what_a_residual_raises_is_told_with_its_owner():
    class Branching(po.Problem):
        domain = po.Box(t=(0, 1))

        def residual(self, u, u_t):
            return u_t if u > 0 else -u_t

    with pytest.raises(
        ValueError, match="Branching.*: a value that JAX traces decides an if.*jnp.where"
    ):
        po.solve(Branching(), **QUICK, steps=1)


def test_resuming_another_problem_is_refused(run):
    def call():
        return po.solve(Decay(rate=2.0), **QUICK, steps=100, out=run, resume=True)

    refused(
        run, ValueError, "holds a run with coefficients = {'rate': 1.0}, not {'rate': 2.0}", call
    )


def test_a_finished_run_may_be_resumed(run, decay):
    assert again(run, resume=True)(t=0.3) == decay(t=0.3)
    assert again(run, resume=True, steps=120).steps == 120
    assert po.load(run).steps == 120


def cut(path: Path, share: float = 0.5):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def flip(path: Path):
    """Change one byte of the data: the file stays readable."""
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(
            lambda name, node: (
                names.append(name) if isinstance(node, h5py.Dataset) and node.size else None
            )
        )
        name = next(name for name in names if "weights" in name)
        file[name][...] = file[name][()] + 1e-9


def foreign(path: Path):
    path.unlink()
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)


STATE = "checkpoint/state.h5"
DAMAGE = {
    "truncated": (cut, "is truncated or not HDF5"),
    "almost whole": (lambda path: cut(path, 0.99), "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "is truncated or not HDF5"),
    "text": (lambda path: path.write_text("hello"), "is truncated or not HDF5"),
    "altered": (flip, "its checksum does not match its content"),
    "foreign": (foreign, "was not written by pinops"),
    "another file of pinops": (
        lambda path: shutil.copy(path.parents[1] / "history.h5", path),
        "it holds a pinops history",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_refused(run, name):
    damage, message = DAMAGE[name]
    damage(run / STATE)
    refused(run, ValueError, message, lambda: po.load(run))
    refused(run, ValueError, message, lambda: again(run, resume=True))


def test_a_checkpoint_of_another_run_is_refused(run, tmp_path):
    other = po.solve(Decay(), **QUICK, steps=100, seed=1).save(tmp_path / "other")
    shutil.copy(other / STATE, run / STATE)
    refused(
        run,
        ValueError,
        "is a checkpoint of another run: seed is 1 there and 0 here",
        lambda: again(run, resume=True),
    )
    refused(
        run,
        ValueError,
        "is a checkpoint of another run: seed is 1 there and 0 here",
        lambda: po.load(run),
    )


def test_a_network_of_another_shape_is_refused(run):
    refused(
        run,
        ValueError,
        'has the network {"MLP": {"width": 8',
        lambda: po.load(run, network=po.networks.MLP(width=9, depth=2)),
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"request": {}}'])
def test_a_damaged_description_is_refused(run, text):
    (run / "run.json").write_text(text)
    refused(run, ValueError, "run.json", lambda: po.load(run))
    refused(
        run,
        ValueError,
        "run.json",
        lambda: again(run, resume=True),
    )


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run: there is no .*run.json"):
        po.load(tmp_path / "nothing")
    (run / STATE).unlink()
    refused(run, FileNotFoundError, "there is no file", lambda: po.load(run))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(
        tmp_path,
        ValueError,
        "is a file; choose a folder for the run",
        lambda: again(tmp_path / "file"),
    )
    refused(tmp_path, OSError, "cannot be written", lambda: again(tmp_path / "file" / "run"))


def test_a_run_that_could_not_start_leaves_its_folder_free(tmp_path):
    """After the mistake is mended the same command must work."""

    class Picky(po.Problem):
        domain = po.Box(t=(0, 1))
        source: float = 0.0

        def residual(self, u_t, t):
            return u_t - jnp.log(self.source)

    with pytest.raises(ValueError, match="is inf at t = "):
        po.solve(Picky(), **QUICK, steps=1, out=tmp_path / "deep" / "run")
    with pytest.raises(ValueError, match="is inf at t = "):
        po.solve(Picky(), **QUICK, steps=1, ensemble=2, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())  # no empty folder either
    assert po.solve(Picky(source=1.0), **QUICK, steps=1, out=tmp_path / "run").steps == 1


FULL = """
import resource, signal, sys
from pathlib import Path
import pinops as po
sys.path.insert(0, sys.argv[2])
from test_solve import QUICK, Decay
po.register("decay_for_tests")(Decay)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    po.solve(Decay(), **QUICK, steps=200, out=sys.argv[1], resume=True, checkpoint_seconds=0)
except OSError as error:
    print(f"OSError: {error}")
"""


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_checkpoint(run):
    """No file may grow beyond a few bytes: what a full disk does to every write."""
    before = contents(run)
    arguments = [sys.executable, "-c", FULL, str(run), str(Path(__file__).parent), "3000"]
    environment = {
        **os.environ,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9",
    }  # it can be read, not written
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"OSError: .*cannot be written: .*", done.stdout), done.stdout + done.stderr
    after = contents(run)
    # The description says that the run is unfinished before any part of it changes.
    description = json.loads(after.pop("run.json"))
    before.pop("run.json")
    assert after == before and description["result"] is None
    assert again(run, resume=True, steps=120).steps == 120


class Tall(po.Problem):
    """Nothing is imposed exactly, and the data are far from 0 and 1."""

    domain = po.Box(x=(0, 1), y=(0, 1))
    height: float = 300.0

    def residual(self, lap_u):
        return lap_u

    def conditions(self):
        return (po.Dirichlet(self.exact, soft=True),)

    def exact(self, x, y):
        return self.height + x * y


@pytest.mark.slow
def test_the_size_of_the_solution_need_not_be_learnt(tmp_path):
    """Soft data give the units of the network; they are kept in the run and go on with a warm
    start.
    """
    options = {"network": NETWORK, "steps": 150, "progress": False}
    solution = po.solve(Tall(), out=tmp_path / "run", **options)
    assert solution.error()["u"]["mean"] < 1e-3
    assert solution.request["scales"]["centre"]["u"] == pytest.approx(300.25, abs=0.1)
    loaded = po.load(tmp_path / "run", problem=Tall(height=301.0), changed=True)
    assert np.array_equal(loaded(x=0.3, y=0.4), solution(x=0.3, y=0.4))
    further = po.solve(
        Tall(height=301.0), start=solution, steps=20, out=tmp_path / "further", progress=False
    )
    for part in ("centre", "spread"):
        assert further.request["scales"][part] == solution.request["scales"][part]
    assert np.array_equal(
        po.load(tmp_path / "further", problem=Tall(), changed=True)(x=0.3, y=0.4),
        further(x=0.3, y=0.4),
    )
