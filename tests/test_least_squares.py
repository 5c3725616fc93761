"""Gauss-Newton and Levenberg-Marquardt, by what the mathematics promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import path

import pinops as po
from pinops.losses import Fixed
from pinops.networks import embedding_of
from pinops.optimizers import (
    GaussNewton,
    LeastSquares,
    LevenbergMarquardt,
    NystromNewtonCG,
    TruncatedGaussNewton,
)
from pinops.optimizers._least_squares import Normal, normal_equations
from pinops.optimizers._newton_cg import conjugate_gradients, nystrom
from pinops.problem import impose, scales_of
from pinops.training import split
from pinops.training._points import draw

METHODS = {
    "Gauss-Newton": GaussNewton(),
    "SPRING": GaussNewton(momentum=0.5),
    "truncated": TruncatedGaussNewton(),
    "Levenberg-Marquardt": LevenbergMarquardt(),
    "Newton-CG": NystromNewtonCG(rank=6, every=2, damping=1e-10, tolerance=1e-8),
}
FAR = np.where(np.arange(10) % 2, 1.0, -1.2)


@pytest.fixture(autouse=True)
def precision(float64):
    """Double precision for the whole room, except for tests that ask for float32."""


def rosenbrock(x):
    """Rosenbrock's valley as a residual vector; zero at (1, ..., 1)."""
    return jnp.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def minimise(residuals, x, steps, optimizer):
    return path(LeastSquares.of(residuals), x, steps, optimizer)


def random_system(n, p):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal((n, p))), jnp.asarray(rng.standard_normal(n))


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_primal_and_dual_forms_are_equal(shape):
    jacobian, y = random_system(*shape)
    primal, dual = Normal(jacobian, jacobian.T @ jacobian), Normal(jacobian, jacobian @ jacobian.T)
    assert float(primal.scale) == pytest.approx(float(dual.scale), rel=1e-13)
    for damping in (1e-3, 10.0):
        np.testing.assert_allclose(
            primal.solver(damping)(y), dual.solver(damping)(y), rtol=1e-9, atol=1e-12
        )
        expected = np.linalg.solve(
            jacobian.T @ jacobian + damping * np.eye(shape[1]), jacobian.T @ y
        )
        np.testing.assert_allclose(dual.solver(damping)(y), expected, rtol=1e-9, atol=1e-12)
    assert len(normal_equations(jacobian).gram) == min(shape)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_gauss_newton_solves_a_linear_problem_in_one_step(shape):
    matrix, y = random_system(*shape)
    path = minimise(lambda x: matrix @ x - y, jnp.zeros(shape[1]), 2, GaussNewton(damping=1e-14))
    np.testing.assert_allclose(path.params[0], np.linalg.lstsq(matrix, y)[0], atol=1e-10)


def test_levenberg_marquardt_solves_a_linear_problem_superlinearly():
    """The damping falls by 3 in every step, so that each step gains more than the one before."""
    matrix, y = random_system(30, 8)
    path = minimise(lambda x: matrix @ x - y, jnp.zeros(8), 12, LevenbergMarquardt())
    error = np.linalg.norm(path.params - np.linalg.lstsq(matrix, y)[0], axis=1)
    assert error[-1] < 1e-8  # a decrease of the value cannot be seen beyond the root of round-off
    ratio = error[1:4] / error[:3]  # then round-off
    assert np.all(np.diff(ratio) < 0)


@pytest.mark.parametrize("name", METHODS)
def test_rosenbrock_is_solved_at_a_superlinear_rate(name):
    path = minimise(rosenbrock, jnp.asarray(FAR), 150, METHODS[name])
    error = np.linalg.norm(path.params - 1, axis=1)
    near = np.flatnonzero(error < 1e-2)[0]
    # Momentum keeps a memory, so that its rate is linear; the others gain ten digits in a few
    # steps.
    assert error[min(near + (60 if name == "SPRING" else 8), 149)] < 1e-11
    assert np.all(np.diff(path.value) <= 0)


def test_gauss_newton_does_not_depend_on_the_coordinates_of_the_parameters():
    """x = T z: the path in z, mapped back, is the path in x."""
    rng = np.random.default_rng(1)
    transform = jnp.asarray(rng.standard_normal((4, 4)) + 3 * np.eye(4))
    start = jnp.asarray([-1.2, 1.0, -0.5, 0.8])
    optimizer = GaussNewton(damping=1e-15)
    direct = minimise(rosenbrock, start, 5, optimizer).params
    mapped = minimise(
        lambda z: rosenbrock(transform @ z), jnp.linalg.solve(transform, start), 5, optimizer
    ).params
    np.testing.assert_allclose(mapped @ transform.T, direct, rtol=1e-6, atol=1e-6)


def test_momentum_keeps_what_the_residuals_do_not_see():
    """SPRING: in directions that the Jacobian does not see the last step goes on, shortened; in the
    others nothing is left.
    """
    matrix, y = random_system(3, 6)
    optimizer = GaussNewton(damping=1e-14, momentum=0.5)
    objective = LeastSquares.of(lambda x: matrix @ x - y)
    last = jnp.arange(1.0, 7.0)
    state = optimizer.init(jnp.zeros(6))._replace(direction=last)
    step = optimizer.update(objective, jnp.zeros(6), state)
    np.testing.assert_allclose(matrix @ step.params, y, atol=1e-10)
    unseen = np.eye(6) - np.linalg.pinv(matrix) @ matrix
    np.testing.assert_allclose(unseen @ step.params, -0.5 * unseen @ last, atol=1e-8)


def test_newton_cg_is_gauss_newton_without_the_matrix():
    matrix, y = random_system(30, 12)
    objective = LeastSquares.of(lambda x: jnp.tanh(matrix @ x) - y)
    x = jnp.full(12, 0.1)
    steps = []
    for optimizer in (
        GaussNewton(damping=1e-3),
        NystromNewtonCG(rank=12, damping=1e-3, tolerance=1e-13),
    ):
        steps.append(jax.jit(lambda x, o=optimizer: o.update(objective, x, o.init(x)).params)(x))
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-8)


def test_conjugate_gradients_take_no_more_products_than_there_are_eigenvalues():
    """Without a preconditioner, for a matrix with three different eigenvalues."""
    rotation = jnp.linalg.qr(random_system(40, 40)[0])[0]
    matrix = (
        rotation
        @ jnp.diag(jnp.repeat(jnp.asarray([1.0, 10.0, 100.0]), jnp.asarray([10, 10, 20])))
        @ rotation.T
    )
    y = random_system(40, 40)[1]
    x, count = conjugate_gradients(lambda v: matrix @ v, y, lambda v: v, 1e-10, 100)
    assert int(count) == 3
    np.testing.assert_allclose(x, jnp.linalg.solve(matrix, y), rtol=1e-8)


def test_the_preconditioner_takes_the_large_eigenvalues_away():
    """Eigenvalues that fall fast, damped: many products without the sketch, few with it."""
    rotation = jnp.linalg.qr(random_system(200, 200)[0])[0]
    matrix = rotation @ jnp.diag(10.0 ** -jnp.linspace(0, 12, 200)) @ rotation.T
    y, damping = random_system(200, 200)[1], 1e-6

    def product(v):
        return matrix @ v + damping * v

    sketch = nystrom(lambda v: matrix @ v, y, 120, jax.random.key(0))
    assert float(sketch.scale) == pytest.approx(float(jnp.trace(matrix)) / 200, rel=0.5)
    np.testing.assert_allclose(sketch.values[:5], 10.0 ** -np.linspace(0, 12, 200)[:5], rtol=1e-4)
    plain = int(conjugate_gradients(product, y, lambda v: v, 1e-8, 2000)[1])
    helped = int(
        conjugate_gradients(product, y, sketch.preconditioner(jnp.asarray(damping)), 1e-8, 2000)[1]
    )
    assert helped < 15 < 10 * helped < plain


def test_geodesic_acceleration_saves_steps():
    def count(**options):
        return int(
            np.argmax(
                minimise(rosenbrock, jnp.asarray(FAR[:2]), 60, LevenbergMarquardt(**options)).value
                < 1e-20
            )
        )

    assert 0 < count(acceleration=True) < count(acceleration=False)


@pytest.mark.parametrize("name", METHODS)
def test_at_the_minimum_nothing_moves_and_the_method_says_so(name):
    path = minimise(rosenbrock, jnp.ones(5), 2, METHODS[name])
    assert np.all(path.params == 1) and np.all(path.stalled)


@pytest.mark.parametrize("name", METHODS)
def test_an_overflowing_trial_is_not_taken(name):
    path = minimise(
        lambda x: jnp.where(x < 2, x - 1.9, jnp.nan), jnp.full(1, -50.0), 30, METHODS[name]
    )
    assert np.all(np.isfinite(path.params)) and path.params[-1] == pytest.approx(1.9, abs=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_single_precision_stays_single_precision(name):
    path = minimise(rosenbrock, jnp.asarray(FAR, jnp.float32), 40, METHODS[name])
    assert path.params.dtype == np.float32 and np.all(np.isfinite(path.params))
    assert path.value[-1] < 1e-8


@pytest.mark.parametrize("name", METHODS)
def test_they_need_the_residual_vector(name):
    method, x = METHODS[name], jnp.ones(2)
    with pytest.raises(
        TypeError, match=r"needs the residual vector; give it a LeastSquares objective"
    ):
        method.update(jax.value_and_grad(lambda x: x @ x), x, method.init(x))


def test_settings_out_of_range_are_refused():
    for wrong, message in (
        (
            lambda: GaussNewton(damping=0.0),
            "damping must be a finite number greater than 0, got 0.0",
        ),
        (
            lambda: GaussNewton(momentum=1.0),
            "momentum must be a finite number of at least 0 and less than 1, got 1.0",
        ),
        (lambda: NystromNewtonCG(rank=0), "rank must be a whole number from 1 to"),
        (
            lambda: NystromNewtonCG(tolerance=0.0),
            "tolerance must be a finite number greater than 0, got 0.0",
        ),
        (
            lambda: LevenbergMarquardt(damping=-1.0),
            "damping must be a finite number greater than 0, got -1.0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


class Stokes(po.Problem):
    """Two unknowns, two equations, soft conditions of several kinds, observations."""

    domain = po.Box(x=(0, 1), y=(0, 2))
    unknowns = ("u", "p")
    trainable = ("viscosity",)
    viscosity: float = po.positive(0.5)

    def residual(self, u, u_x, lap_u, p_x, p_y):
        return {"momentum": u * u_x + p_x - self.viscosity * lap_u, "closure": p_y - u}

    def conditions(self):
        observed = po.Observed({"x": [0.2, 0.3, 0.4], "y": [0.1, 0.1, 0.2]}, {"u": [1.0, 2.0, 3.0]})
        return (
            po.Dirichlet({"u": 1.0}, on="x_min"),
            po.Neumann({"p": 0.5}, on="y", soft=True),
            observed,
        )


@pytest.mark.slow
@pytest.mark.parametrize("trained", [True, False])
def test_the_jacobian_of_a_problem_is_that_of_its_residual_vector(trained):
    """Row by row at single points, against reverse mode through the whole vector."""
    problem = Stokes()
    imposition = impose(problem)
    network = po.networks.MLP(width=6, depth=2).build(
        embedding_of(problem, imposition).size, 2, key=jax.random.key(0)
    )
    model, params = split(problem, network, imposition, scales_of(problem, imposition), "Stokes")
    params = params if trained else po.training.Params(params.network, {})
    points = draw(
        problem, imposition.soft, po.Collocation(interior=24, boundary=8), jax.random.key(1)
    )
    points = model.prepared(params, points)
    weights = Fixed(condition=7.0).init(model.snapshot(params, points, jax.random.key(2))).weights
    objective = model.objective(points, weights)
    r, jacobian = jax.jit(objective.jacobian)(params)
    expected_r, expected = LeastSquares.of(objective.residuals).jacobian(params)
    assert r.shape == (2 * 24 + 8 + 3,)
    np.testing.assert_allclose(r, expected_r, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-10, atol=1e-11)
    value, gradient = objective(params)
    assert float(value) == pytest.approx(float(r @ r), rel=1e-12)
    np.testing.assert_allclose(
        jax.flatten_util.ravel_pytree(gradient)[0], 2 * jacobian.T @ r, rtol=1e-9, atol=1e-11
    )
