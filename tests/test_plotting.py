"""Figures: every layout is drawn without a warning, with the panels that it should have."""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import pinops as po
from pinops.plotting import plot_gaussians, plot_history, plot_rollouts, plot_solution
from pinops.plotting._drawing import drawn
from pinops.plotting._panels import colours_of, error_colours, map_panel
from pinops.reference import Reference

PNG = b"\x89PNG\r\n\x1a\n"


class Curve(po.Problem):
    """One coordinate."""

    domain = po.Box(x=(0, 3))

    def residual(self, u, u_x):
        return u_x + u

    def conditions(self):
        return (po.Dirichlet(1.0, on="x_min"),)

    def exact(self, x):
        return jnp.exp(-x)


class Decay(po.Problem):
    """Time and space; observed, so that the rate can be found."""

    domain = po.Box(t=(0, 1), x=(0, 1))
    trainable = ("rate",)
    rate: float = po.positive(1.0)

    def residual(self, u, u_t):
        return u_t + self.rate * u

    def conditions(self):
        return (po.Initial(lambda x: x), po.Observed({"x": [0.5], "t": [0.5]}, {"u": [0.3]}))

    def exact(self, x, t):
        return x * jnp.exp(-t)


class Annulus(po.Problem):
    """Space with a hole, on the grid of a reference whose axes are in another order; v is unknown
    to it.
    """

    domain = po.Disk(x=0, y=0, radius=1) - po.Disk(x=0, y=0, radius=0.5)
    unknowns = ("u", "v")
    gauge = ("u",)

    def residual(self, u_x, v_y):
        return {"one": u_x - 1, "two": v_y}

    def reference(self):
        y, x = np.linspace(-1, 1, 31)[:, None], np.linspace(-1, 1, 41)[None]
        r = np.hypot(x, y)
        u = np.where((r <= 1) & (r >= 0.5), x + 7, np.nan)
        return Reference({"x": x, "y": y}, {"u": u}, {"u": 1e-3}, "by hand", "")


class Film(po.Problem):
    """Two coordinates of space and time; signed, determined up to a constant."""

    domain = po.Box(x=(0, 1), y=(0, 2), t=(0, 1))
    gauge = ("u",)

    def residual(self, u_t):
        return u_t

    def exact(self, x, y, t):
        return x - y


class Many(po.Problem):
    """Four coordinates."""

    domain = po.Box(x=(0, 1), y=(0, 1), z=(0, 1), w=(0, 1))

    def residual(self, u_x):
        return u_x

    def exact(self, x, w):
        return x + w


class Unknown(Many):
    """Four coordinates without a reference."""

    exact = None


class Nothing(po.Problem):
    """Time and space without a reference."""

    domain = po.Box(x=(0, 1), t=(0, 1))

    def residual(self, u_t):
        return u_t


def solved(problem, *phases):
    """Two steps: of Adam, which compiles fastest, unless phases are given."""
    return po.solve(
        problem,
        optimizer=phases or (po.Phase(po.optimizers.Adam(), 2),),
        network=po.networks.MLP(width=8, depth=2),
        points=po.Collocation(interior=64, boundary=16, initial=16),
        progress=False,
    )


def titles(figure):
    return [ax.get_title() for part in figure.subfigs for ax in part.axes if ax.axison]


def panels(figure):
    return len(titles(figure))


# Panels: those of the layout, and of the history: loss, error where there is a reference,
# coefficients.
LAYOUTS = {
    Curve: 2 + 2,
    Decay: 3 + 3,
    Annulus: 3 + 1 + 2,
    Film: 2 * 4 + 2,
    Many: 2 + 2,
    Unknown: 4 + 1,
    Nothing: 2 + 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("problem", LAYOUTS, ids=lambda problem: problem.__name__)
def test_every_layout(problem, tmp_path):
    solution = solved(problem())
    path = tmp_path / "new" / "figure.png"
    figure = plot_solution(solution, path)
    assert panels(figure) == LAYOUTS[problem]
    assert path.read_bytes().startswith(PNG) and path.stat().st_size > 10_000
    assert any("error" in title for title in titles(figure)) == (solution.reference is not None)
    for title in titles(figure):
        assert title


def test_what_a_figure_says():
    solution = solved(Decay())
    figure = solution.plot()
    error = solution.error()["u"]["mean"]
    assert f"{error:.1e}" in figure.get_suptitle()
    top, bottom = figure.subfigs
    heat, errors, cuts = top.axes[:3]
    assert (heat.get_xlabel(), heat.get_ylabel()) == (
        "t",
        "x",
    )  # time is horizontal, whatever the order of the domain
    assert "observed" in heat.get_title()
    assert errors.collections[0].norm.vmax >= solution.error()["u"]["max_abs"] * 0.99
    assert [line.get_label() for line in cuts.lines[:4]] == [
        "t = 0",
        "t = 0.333",
        "t = 0.667",
        "t = 1",
    ]
    loss, error, rate = bottom.axes
    assert {line.get_label() for line in loss.lines} >= {"residual", "observed u", "sum"}
    # A bar far below the curves is left out of the axes, and named in the title.
    said = [error.get_title(), *(line.get_label() for line in error.lines)]
    assert any("error bar" in text for text in said)
    assert rate.get_title() == f"rate = {solution.coefficients['rate']:.6g}"


def test_colours_and_geometry():
    figure = solved(Annulus()).plot()
    solution, reference, error = figure.subfigs[0].axes[:3]
    for ax in (solution, reference, error):
        assert ax.get_aspect() == 1.0
    u = reference.collections[0]
    assert (
        u.norm.vmin == -u.norm.vmax and u.cmap.name == "coolwarm"
    )  # the mean is removed, both signs are left
    values = u.get_array()
    assert values.shape == (31, 41)  # (y, x)
    assert (
        np.ma.is_masked(values[15, 20])
        and np.ma.is_masked(values[0, 0])
        and not np.ma.is_masked(values[15, 1])
    )
    np.testing.assert_allclose(values[15, 40] - values[15, 0], 2.0)  # u = x + 7
    assert solution.collections[0].get_array().mask.any()
    assert type(error.collections[0].norm).__name__ == "LogNorm"


@pytest.mark.slow
def test_history_alone(tmp_path):
    phases = (po.Phase(po.optimizers.Adam(), 1), po.Phase(po.optimizers.SSBroyden(), 1))
    figure = plot_history(solved(Decay(), *phases), tmp_path / "history.png")
    assert panels(figure) == 3
    assert (tmp_path / "history.png").read_bytes().startswith(PNG)
    assert "Adam, then SSBroyden" in figure.subfigs[0].axes[0].get_title()


def test_a_figure_shows_itself_in_a_notebook():
    figure = plot_history(solved(Nothing()))
    assert figure._repr_png_().startswith(PNG)


def test_a_loaded_solution_has_the_same_figure(tmp_path):
    po.register("curve_for_plotting")(Curve)
    solution = solved(Curve())
    loaded = po.load(solution.save(tmp_path / "run"))
    assert titles(loaded.plot()) == titles(solution.plot())


@pytest.mark.slow
def test_gaussians_over_the_solution(tmp_path):
    small = {
        "points": po.Collocation(interior=64, every=0, refinement=None),
        "optimizer": po.optimizers.Adam(),
        "steps": 2,
        "progress": False,
    }
    solution = po.solve("poisson", network=po.networks.PIG(5, 2, 0.3, "full"), **small)
    figure = plot_gaussians(solution, tmp_path / "gaussians.png")
    assert (tmp_path / "gaussians.png").read_bytes().startswith(PNG)
    (ax,) = [ax for ax in figure.axes if ax.get_title() == "u"]
    assert len(ax.lines) == 10
    ellipse = ax.lines[0].get_xydata()
    expected = np.asarray(solution.network.means)[0, 0] / 2 + 0.5  # the domain is (0, 1)
    low, high = solution.problem.domain.bounds["x"]
    np.testing.assert_allclose(ellipse.mean(0)[0], low + (high - low) * expected[0], atol=0.05)
    with pytest.raises(
        ValueError, match="plot_gaussians needs a solution with a PIG network, got MLPNetwork"
    ):
        plot_gaussians(po.solve("poisson", network=po.networks.MLP(4, 1), **small))


@dataclasses.dataclass(frozen=True)
class Stub:
    """A solution whose history and reference are what a test needs."""

    problem: po.Problem
    history: list[po.Report]
    reference: Reference | None
    request: dict = dataclasses.field(default_factory=lambda: {"problem": "stub"})
    deviation: None = None

    def error(self, data=None):
        return {"u": {"mean": 0.1}}


def report(step: int, error: float) -> po.Report:
    terms = {"residual": error}
    return po.Report(step, 2, "Adam", error, terms, {"u": error}, {}, 1.0)


@pytest.mark.parametrize(
    ("bar", "shown"), [(1e-3, True), (1e-14, False), (0.5, True), (1e9, False)]
)
def test_an_error_bar_is_inside_the_axes_or_left_out(bar, shown):
    """What a legend names is in the figure: above, among and below the errors."""
    t = np.linspace(0, 3, 5)
    reference = Reference({"x": t}, {"u": t}, {"u": bar}, "by hand", "")
    figure = plot_history(Stub(Curve(), [report(1, 0.1), report(2, 0.02)], reference))
    _, errors = figure.subfigs[0].axes
    low, high = errors.get_ylim()
    bars = [line for line in errors.lines if "error bar" in str(line.get_label())]
    assert len(bars) == shown and all(low <= bar <= high for _ in bars)
    assert (f"{bar:.0e}" in errors.get_title()) == (not shown)


def test_a_long_name_beside_a_panel_takes_several_lines():
    """A condition on six edges took the width of the whole figure."""
    from pinops.plotting._history import legend_beside

    ax = Figure().subplots()
    edges = "+".join(f"edge_{k}" for k in range(6))
    for label in (f"dirichlet u on {edges}", "error bar of\nreference: 1e-05", "sum"):
        ax.plot([0, 1], label=label)
    legend_beside(ax)
    first, *others = (text.get_text() for text in ax.get_legend().get_texts())
    assert first.split() == ["dirichlet", "u", "on", *edges.replace("+", " + ").split()]
    assert all(len(line) <= 28 for line in first.splitlines())
    assert others == ["error bar of\nreference: 1e-05", "sum"]


def test_a_figure_has_one_colour_map_for_fields():
    """Also where one unknown has both signs and another one has not."""
    both = colours_of({"u": [np.array([-1.0, 2.0])], "v": [np.array([-3.0, 1.0])]})
    assert {found.map for found in both.values()} == {"coolwarm"}
    assert both["v"].norm.vmin == -both["v"].norm.vmax == -3.0
    mixed = colours_of({"u": [np.array([-1.0, 1.0])], "p": [np.array([4.0, 5.0]), None]})
    assert {found.map for found in mixed.values()} == {"viridis"}
    assert (mixed["p"].norm.vmin, mixed["p"].norm.vmax) == (4.0, 5.0)


def test_colours_of_what_is_not_known():
    """Not a number, infinite, or zero everywhere: figures are drawn all the same."""
    found = colours_of({"u": [np.full(3, np.nan)], "v": [np.array([np.inf, 1.0, 2.0])]})
    assert [found[u].norm.vmin for u in "uv"] == [0, 1] and found["v"].norm.vmax == 2
    norm = error_colours(np.array([0.0, 0.0, 0.0, 2e-3, 5e-3, np.inf, np.nan])).norm
    assert (norm.vmin, norm.vmax) == (1e-3, 1e-2)  # the zeros took three decades more
    assert error_colours(np.zeros(3)).norm.vmax == pytest.approx(1e-16)


@pytest.mark.parametrize(
    "extent, scale", [((1.0, 5.0), "auto"), ((1000.0, 1.0), "auto"), ((1.0, 3.0), 1.0)]
)
def test_maps_are_on_one_scale_unless_they_would_be_lines(extent, scale):
    axes = {name: np.linspace(0, length, 5) for name, length in zip("xy", extent, strict=True)}
    ax = Figure().subplots()
    colours = colours_of({"u": [np.eye(5)]})["u"]
    map_panel(
        "a_name_of_more_than_thirty_characters, t = 0.5",
        "u" * 30,
        axes,
        ("x", "y"),
        np.eye(5),
        colours,
    )(ax)
    assert ax.get_aspect() == scale
    (bar,) = ax.child_axes
    assert bar.get_title(loc="left") == "u" * 21 + "..."


def test_long_titles_take_several_lines():
    def panel(ax):
        ax.set_title("a_name_of_more_than_thirty_characters, t = 0.5")

    long = "a_name_of_more_than_thirty_characters,"
    (alone,) = drawn("stub", [[panel]], [], None).subfigs[0].axes
    assert alone.get_title() == f"{long}\nt = 0.5"
    first, *_ = drawn("stub", [[panel] * 3], [], None).subfigs[0].axes  # each has less room
    assert first.get_title() == f"{long[:32]}\n{long[32:]}\nt = 0.5"


def test_rows_of_rollouts_share_their_colours():
    """One colour map, also where trajectories differ in size and sign; errors have one range."""
    size = np.array([1.0, 0.1, 3.0])[:, None, None, None]
    truth = size + 0 * np.linspace(0, 1, 5 * 8).reshape(1, 5, 8, 1)
    truth[0] -= np.linspace(0, 2, 8)[:, None]  # has both signs
    figure = plot_rollouts(Surrogate(), truth + 0.01 * size, truth, ["a", "b", "c"])
    maps = [ax.collections[0] for ax in figure.subfigs[0].axes if ax.collections]
    for column in (0, 1, 2):
        rows = maps[column::3]
        assert {mesh.cmap.name for mesh in rows} == {"magma" if column == 2 else "viridis"}
    assert len({(mesh.norm.vmin, mesh.norm.vmax) for mesh in maps[2::3]}) == 1
    assert maps[0].norm.vmax == maps[1].norm.vmax == truth[0].max() != maps[3].norm.vmax


class Surrogate:
    """What a figure of rollouts needs of a surrogate."""

    family = Decay()
    request = {"problem": "stub"}
    history: list = []
    given = 1
    grid = types.SimpleNamespace(first=(0.0, 0.0), steps=(0.25, 0.125))
