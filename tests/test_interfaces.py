"""Several materials: subdomains by name, interfaces between them, the folds that networks see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.geometry import sample_interface
from pinops.geometry._domain import sobol
from pinops.problem import constraints, impose, pairs, sentence
from pinops.problem._fingerprint import fingerprint

FEW = po.Collocation(interior=64, boundary=16, refinement=None)
QUICK = {"points": FEW, "progress": False, "seed": 0, "network": po.networks.MLP(8, 2)}


class Slabs(po.Problem):
    """(k u')' + 1 = 0 with k = 1 on the left and k on the right."""

    domain = po.Interval(x=(0, 2))
    subdomains = {"right": po.Interval(x=(1, 2))}
    k: float = po.positive(10.0)

    def residual(self, u_xx, right):
        return jnp.where(right, self.k, 1.0) * u_xx + 1.0

    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(self.flux)

    def flux(self, u_n, right):
        return jnp.where(right, self.k, 1.0) * u_n

    def exact(self, x):
        a = (1.5 / self.k + 0.5) / (1 + 1 / self.k)
        right = (-(x**2) / 2 + a * x - 2 * a + 2) / self.k
        return jnp.where(x < 1, -(x**2) / 2 + a * x, right)


class Contact(Slabs):
    """Two slabs that touch with a resistance of 0.5: u' is 1 / 2.5 without a source."""

    def residual(self, u_xx):
        return u_xx

    def conditions(self):
        contact = po.Interface(lambda u_n: u_n, on="right", jump=lambda flux: 0.5 * flux)
        return po.Dirichlet(lambda x: x / 2), contact

    def exact(self, x):
        return 0.4 * x + jnp.where(x < 1, 0.0, 0.2)


class Layers(po.Problem):
    """Shear and pressure of two layers: v does not depend on x."""

    domain = po.Box(x=(0, 1), y=(-1, 1), t=(0, 1))
    unknowns = ("u", "v")
    subdomains = {"upper": po.Interval(y=(0, 1))}

    def residual(self, u_yy, v_yy, u_t, v_t, upper):
        k = 1.0 + upper
        return {"first": u_t - k * u_yy, "second": v_t - k * v_yy}

    def conditions(self):
        def flux(u_n, v_n, upper):
            return {"shear": (1 + upper) * u_n, "normal": v_n}

        jump = {"v": lambda x, shear: x + shear}
        interface = po.Interface(flux, on="upper", jump=jump, source={"shear": lambda t: t})
        return po.Initial(0.0), po.Dirichlet(0.0, on="y"), interface


@pytest.mark.parametrize(
    "shape",
    [
        po.Box(x=(0, 2), y=(-1, 1)),
        po.Disk(x=0.5, y=0.2, radius=0.7),
        po.Ellipse(x=0.1, y=0.0, radii=(1.0, 0.4)).rotated(0.3),
        po.Box(x=(0, 1), y=(0, 1)) - po.Disk(x=0.5, y=0.5, radius=0.2),
        po.Disk(x=0, y=0, radius=0.5) | po.Disk(x=0.6, y=0, radius=0.5).scaled(1.2),
        po.Disk(x=0, y=0, radius=0.5) & po.Disk(x=0.6, y=0, radius=0.5).moved(y=0.1),
    ],
    ids=["box", "disk", "ellipse", "difference", "union", "intersection"],
)
def test_level_sets_tell_inside_from_outside(shape):
    low, high = np.array(list(shape.bounds.values())).T
    points = low - 0.3 + (high - low + 0.6) * sobol(512, 2)
    with jax.enable_x64(True):
        level = np.asarray(jax.vmap(shape.level)(jnp.asarray(points)))
        np.testing.assert_array_equal(level < 0, shape.signed_distance(points) < 0)
        on, normals = shape.sample_boundary(None, sobol, 128)
        at = jax.vmap(jax.value_and_grad(shape.level))(jnp.asarray(on))
    np.testing.assert_allclose(at[0], 0, atol=1e-9)
    # Outwards it grows.
    assert np.all(np.sum(np.asarray(at[1]) * normals, 1) > 0.1)


def test_products_have_level_sets_and_corners_have_derivatives():
    cylinder = po.Disk(x=0, y=0, radius=1) * po.Interval(z=(0, 2))
    levels = [float(cylinder.level(jnp.array(p))) for p in ((0.1, 0.2, 1.0), (0.1, 0.2, 2.5))]
    assert levels[0] < 0 < levels[1]
    corner = jax.grad(po.Box(x=(0, 1), y=(0, 1)).level)(jnp.array([0.0, 0.0]))
    assert np.all(np.isfinite(corner))


def test_points_of_an_interface_lie_inside_with_normals_out_of_the_shape():
    domain = po.Box(x=(-1, 1), y=(-1, 1), t=(0, 3))
    disk, options = po.Disk(x=0.8, y=0, radius=0.5), {"owner": "Plate"}
    at, normals = sample_interface(domain, disk, sobol, 100, **options)
    assert at.shape == (100, 3) and np.all(domain.contains(at)) and np.ptp(at[:, 2]) > 2
    arm = at[:, :2] - [0.8, 0]
    np.testing.assert_allclose(normals, arm / np.linalg.norm(arm, axis=1)[:, None], atol=1e-12)
    # A slab that extends along x and has one wall in common with the domain.
    at, normals = sample_interface(domain, po.Interval(y=(0, 1)), sobol, 50, **options)
    assert np.all(at[:, 1] == 0) and np.all(normals == [0, -1]) and np.ptp(at[:, 0]) > 1


def test_both_sides_differ_in_single_precision():
    problem = Slabs()
    for dtype in ("float32", "float64"):
        inner, outer, normals = pairs(problem, ("right",), sobol, 4, np.dtype(dtype))
        inner, outer = inner.astype(dtype), outer.astype(dtype)
        assert np.all(normals == -1) and np.all(inner > 1) and np.all(outer < 1)
        np.testing.assert_allclose(inner, outer, atol=100 * np.finfo(dtype).eps * 10)


def test_a_residual_sees_one_inside_and_zero_outside():
    (inside,) = [c for c in constraints(Slabs(), ()) if not c.name]
    at = jnp.array([[0.5], [1.5]])
    jet = {(): jnp.zeros((2, 1)), (0, 0): jnp.ones((2, 1))}
    values = inside.signature.gather(jet, at)
    np.testing.assert_array_equal(values["right"], [0, 1])
    np.testing.assert_array_equal(jax.vmap(lambda v: inside.function(**v))(values), [2, 11])


@pytest.fixture(scope="module")
def slabs(tmp_path_factory):
    out = tmp_path_factory.mktemp("slabs") / "run"
    return po.solve(Slabs(), steps=300, out=out, **QUICK), out


def test_two_slabs_are_solved_as_one_writes_them(slabs):
    solution, out = slabs
    assert solution.error()["u"]["mean"] < 1e-3
    assert set(solution.history[-1].terms) == {"residual", "flux on right"}
    assert "continuous exactly" in solution.conditions[1]
    again = po.load(out, problem=Slabs())
    at = {"x": np.linspace(0, 2, 7)}
    np.testing.assert_array_equal(again.values(at)["u"], solution.values(at)["u"])


def test_a_solution_is_continuous_and_its_slope_jumps(slabs):
    solution, _ = slabs
    beside = {"x": np.array([1 - 1e-9, 1 + 1e-9])}
    left, right = solution.values(beside)["u"]
    assert abs(left - right) < 1e-8
    left, right = solution.partial("u_x", **beside)
    assert abs(left / right - 10) < 0.1


@pytest.mark.slow
def test_contact_resistance_lets_the_solution_jump():
    solution = po.solve(Contact(), steps=300, **QUICK)
    assert solution.error()["u"]["mean"] < 1e-3
    assert set(solution.history[-1].terms) == {"residual", "flux on right", "jump u on right"}


@pytest.mark.slow
def test_a_system_has_a_balance_for_each_flux_and_a_jump_for_each_unknown():
    options = QUICK | {"steps": 3, "network": po.networks.MLP(6, 1)}
    solution = po.solve(Layers(), **options)
    found = set(solution.history[-1].terms)
    balances = {"flux on upper shear", "flux on upper normal"}
    assert found == {"first", "second", "jump u on upper", "jump v on upper"} | balances


def test_balances_are_those_of_the_declaration():
    problem = Layers()
    soft = impose(problem).soft
    terms = {c.name: c for c in constraints(problem, soft) if c.region.kind == "interface"}
    pair = jnp.array([3.0, 5.0])  # inner, outer
    values = {"u_n": pair, "v_n": pair, "upper": jnp.array([1.0, 0.0]), "u": pair, "v": pair}
    values["point"] = jnp.array([[0.25, 0.0, 0.5]] * 2)

    def call(name):
        signature = terms[name].signature
        return terms[name].function(**{name: values[name] for name, _ in signature.arguments})

    assert call("flux on upper") == {"shear": 5 - 2 * 3 - 0.5, "normal": 2.0}
    assert call("jump v on upper") == 2 - (0.25 + 2 * 3)
    assert call("jump u on upper") == 2


@pytest.mark.slow
def test_manufactured_data_keep_the_interface_and_time_windows_refuse_it():
    problem = po.manufacture(Slabs(), lambda x: jnp.sin(2 * x))
    solution = po.solve(problem, steps=300, **QUICK)
    assert solution.error()["u"]["mean"] < 0.01
    with pytest.raises(ValueError, match="an Interface with a jump has no manufactured data"):
        po.manufacture(Contact(), lambda x: x).conditions()
    with pytest.raises(ValueError, match="time windows cannot use an interface between subdomains"):
        po.solve(Layers(), windows=po.TimeWindows(2), **QUICK | {"steps": 2})


def test_a_problem_says_and_remembers_its_interfaces():
    said = [sentence(Contact(), condition) for condition in Contact().conditions()]
    assert said[1] == "a flux of u_n through the surface of right, u jumping"

    class Elsewhere(Slabs):
        subdomains = {"right": po.Interval(x=(1.2, 2))}

    class Otherwise(Slabs):
        def flux(self, u_n, right):
            return jnp.where(right, 2 * self.k, 1.0) * u_n

    found = [fingerprint(each()) for each in (Slabs, Elsewhere, Otherwise)]
    assert found[0]["domain"] != found[1]["domain"]
    assert found[0]["conditions"] != found[2]["conditions"]
    assert "right" in po.Expression.of(Slabs()).latex()


class Unknown(Slabs):
    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(self.flux, on="left")


class Named(Slabs):
    subdomains = {"x": po.Interval(x=(1, 2))}


class NoShape(Slabs):
    subdomains = {"right": (1, 2)}


class InTime(Slabs):
    subdomains = {"right": po.Interval(x=(1, 2)) * po.Time(0, 1)}


class Outside(Slabs):
    subdomains = {"right": po.Interval(x=(2, 3))}


class Bare(Slabs):
    subdomains = {}

    def residual(self, u_xx):
        return u_xx


class WrongJump(Slabs):
    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(self.flux, jump={"w": 1.0})


class WrongSource(Slabs):
    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(self.flux, source={"q": 1.0})


class Ring(Slabs):
    """The material changes where the period ends."""

    def residual(self, u, u_xx, right):
        return (1 + right) * u_xx - u

    def conditions(self):
        return po.Periodic("x"), po.Interface(self.flux)


class Seam(Slabs):
    subdomains = {"right": po.Interval(x=(0.5, 1)) | po.Interval(x=(1, 1.5))}


class Derivative(Slabs):
    subdomains = {"u_xx": po.Interval(x=(1, 2))}


class Words(Slabs):
    subdomains = {"my disc": po.Interval(x=(1, 2))}


class NoDict(Slabs):
    subdomains = ("right", po.Interval(x=(1, 2)))


class Coordinate(Slabs):
    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(lambda u_n: {"x": u_n}, jump={"u": lambda x: x})


class Nothing(Slabs):
    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(lambda: 0.0)


class Number(Slabs):
    def conditions(self):
        return po.Dirichlet(0.0), po.Interface(self.flux, on=5)


class Spline(po.Problem):
    domain = po.Box(x=(-1, 1), y=(-1, 1))
    subdomains = {"core": po.Spline([(0, 0), (0.5, 0), (0.2, 0.5)])}

    def residual(self, lap_u, core):
        return (1 + core) * lap_u


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Unknown, "Unknown: Interface: there is no subdomain 'left'; declared are right"),
        (Named, "Named: subdomain 'x' has no name for an argument, or one that means something"),
        (Derivative, "subdomain 'u_xx' has no name for an argument, or one that means something"),
        (Words, "subdomain 'my disc' has no name for an argument"),
        (NoDict, "NoDict: subdomains must be a dict of shapes by name, got"),
        (
            Ring,
            "Ring: subdomain 'right' reaches the ends of x, which is periodic; begin the period",
        ),
        (Seam, "Seam: subdomain 'right': two of its parts touch along a wall; let them"),
        (Coordinate, "Interface: a flux is called 'x' like a coordinate; choose another name"),
        (Nothing, "it takes no arguments; name the quantities that it relates"),
        (Number, "there is no subdomain 5; declared are right"),
        (NoShape, r"NoShape: subdomain 'right' must be a shape, .*, got \(1, 2\)"),
        (InTime, "InTime: subdomain 'right' has the coordinate 't', which is not in space"),
        (Outside, "Outside: subdomain 'right': its boundary has no piece inside of the domain"),
        (Bare, "Bare: Interface needs subdomains, such as"),
        (WrongJump, "WrongJump: Interface: there is no unknown 'w'; the unknowns are u"),
        (WrongSource, "Interface: source has no flux 'q'; there are one without a name"),
        (Spline, "Spline: subdomain 'core': Spline has no smooth level set; boxes, balls"),
    ],
)
def test_what_does_not_fit_is_refused(problem, said):
    with pytest.raises(ValueError, match=said):
        po.solve(problem(), steps=1, **QUICK)


def test_gaussians_do_not_see_interfaces():
    options = QUICK | {"network": po.networks.PIG(16, 4)}
    with pytest.raises(ValueError, match="does not see where materials meet"):
        po.solve(Slabs(), steps=1, **options)


@pytest.mark.slow
def test_a_flux_may_have_the_usual_name_and_an_integral():
    class Total(Slabs):
        def integrals(self):
            return {"total": po.Integral(lambda u: u, over="x", nodes=2)}

        def conditions(self):
            flux = po.Interface(lambda u_n, right, total: {"flux": (1 + right) * u_n + total})
            return po.Dirichlet(0.0), flux

    solution = po.solve(Total(), steps=2, **QUICK)
    assert set(solution.history[-1].terms) == {"residual", "flux on right flux"}


def test_a_small_move_of_an_interface_is_another_problem():
    class Moved(Slabs):
        subdomains = {"right": po.Interval(x=(1.0005, 2))}

    assert fingerprint(Slabs())["domain"] != fingerprint(Moved())["domain"]
