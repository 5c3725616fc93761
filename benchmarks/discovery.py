"""Equations found from noisy trajectories, by pinops and by PySINDy.

Eight families: one trajectory on 101 times and 128 points, with 0, 2, 5 and 10 % of noise (normal,
independent from point to point, relative to the standard deviation), 20 seeds, each with its own
initial state and coefficients within 20 % of those of the table. `po.discover` searches its
default library of 22 columns. PySINDy searches its weak library of 19 columns (powers of u up to
the third, derivatives up to the fourth and their products; 300 subdomains, which reach a tenth of
each axis to both sides, and test functions of its default power 4) with the settings of its
examples, SR3 with an l0 threshold of 0.1 and normalised columns. "Best setting" is the one of
eight, SR3 and STLSQ with thresholds of 0.02, 0.05, 0.1 and 0.2, that comes closest to the true
equation, which nobody knows who has data alone. It takes equations of first order in time: for
Klein-Gordon it is also given u_t with the same relative noise, and the equation of u_t is compared.

Precision is the share of columns found that are true, recall the share of true ones that are found.
The coefficient error is the mean over true columns, 1 for one that is not found. A rollout starts
from the true first snapshot; its error is relative in L2 over all times, and infinite where it
diverges or would need more than 2000 steps.
"""

import functools
import re
import time
import warnings
from pathlib import Path
from typing import Any

import _record

MARKS = ("<!-- discovery: benchmarks/discovery.py --markdown -->", "<!-- end of discovery -->")
PAGE = _record.ROOT / "docs/guide/discovery.md"
NOISE = (0.0, 0.02, 0.05, 0.1)
POINTS, TIMES = 128, 101
MOST_STEPS = 2000  # of a rollout; true equations need at most 700
OURS, THEIRS, BEST = "pinops", "PySINDy", "PySINDy, best setting"
# By family: the period and the end of time in units of pi and 1, and the coefficients.
CASES: dict[str, tuple[float, float, dict[str, float]]] = {
    "advection": (2, 2, {"u_x": -1.0}),
    "heat": (2, 2, {"u_xx": 0.2}),
    "logistic reaction-diffusion": (2, 2, {"u_xx": 0.1, "u": 1.0, "u**2": -1.0}),
    "viscous Burgers": (2, 2, {"u_xx": 0.1, "u*u_x": -1.0}),
    "cubic flux": (2, 2, {"u_xx": 0.1, "u**2*u_x": -1.0}),
    "Klein-Gordon": (2, 6, {"u_xx": 1.0, "u": -1.0}),
    "Korteweg-de Vries": (4, 4, {"u_xxx": -0.1, "u*u_x": -1.0}),
    "Kuramoto-Sivashinsky": (32, 80, {"u_xx": -1.0, "u_xxxx": -1.0, "u*u_x": -1.0}),
}


def trajectory(case: str, seed: int) -> tuple[Any, Any, dict[str, Any], dict[str, float]]:
    """Points, times, u and u_t ``(nt, nx)``, and the coefficients."""
    import numpy as np

    from pinops.reference import periodic_etdrk4

    period, end, about = CASES[case]
    random = np.random.default_rng(seed)
    true = {name: value * random.uniform(0.8, 1.2) for name, value in about.items()}
    length = period * np.pi
    x, t = np.arange(POINTS) * length / POINTS, np.linspace(0, end, TIMES)
    chaotic = case == "Kuramoto-Sivashinsky"
    waves = 2 * np.pi / length * np.arange(1, 17 if chaotic else 5)
    sizes, phases = random.standard_normal(waves.size), random.uniform(0, 2 * np.pi, waves.size)

    middle, factor = (0.5, 0.2) if case == "logistic reaction-diffusion" else (0.0, 1.0)

    def start(x: Any) -> Any:
        parts = np.sin(np.multiply.outer(x, waves) + phases) @ sizes
        return middle + factor * 2 * parts / np.abs(sizes).sum()

    if case == "Klein-Gordon":
        frequency = np.sqrt(true["u_xx"] * waves**2 - true["u"])
        turns = random.uniform(0, 2 * np.pi, waves.size)
        parts = sizes / np.abs(sizes).sum() * 2 * np.sin(np.multiply.outer(x, waves) + phases)
        angle = np.multiply.outer(t, frequency) + turns
        return x, t, {"u": np.cos(angle) @ parts.T, "v": -np.sin(angle) * frequency @ parts.T}, true
    linear = {"u_x": 1, "u_xx": 2, "u_xxx": 3, "u_xxxx": 4, "u": 0}

    def symbol(k: Any) -> Any:
        named = {name: order for name, order in linear.items() if name in true}
        return sum(true[name] * (1j * k) ** order for name, order in named.items()) + 0j * k

    def flux(u: Any) -> Any:
        return -true.get("u*u_x", 0.0) * u**2 / 2 - true.get("u**2*u_x", 0.0) * u**3 / 3

    found = periodic_etdrk4(
        x,
        t + (40 if chaotic else 0),  # on the attractor
        interval=(0, length),
        symbol=symbol,
        initial=start,
        flux=flux if any("*u_x" in name for name in true) else None,
        reaction=(lambda u: true["u**2"] * u**2) if "u**2" in true else None,
        modes=256,
        max_step=0.1 if chaotic else 0.01,
    )
    return x, t, {"u": found.values["u"].T}, true


def measured(u: Any, noise: float, seed: int) -> Any:
    """Values with noise."""
    import numpy as np

    return u + noise * u.std() * np.random.default_rng(seed).standard_normal(u.shape)


def dataset(x: Any, t: Any, u: Any) -> Any:
    """One trajectory."""
    import pinops as po

    return po.Dataset.from_arrays({"u": u[None]}, {"t": t, "x": x}, time="t")


@functools.cache
def polynomials() -> Any:
    """The library of PySINDy, and what Klein-Gordon needs."""
    import pinops as po

    def terms(u, u_t, u_tt, u_tx, u_txx, u_x, u_xx, u_xxx, u_xxxx):
        slopes = {"u_x": u_x, "u_xx": u_xx, "u_xxx": u_xxx, "u_xxxx": u_xxxx}
        powers = {"u": u, "u**2": u**2, "u**3": u**3}
        products = {f"{a}*{b}": p * d for a, p in powers.items() for b, d in slopes.items()}
        rates = {"u_t": u_t, "u_t**2": u_t**2, "u_t**3": u_t**3, "u_tx": u_tx, "u_txx": u_txx}
        mixed = {"u*u_t": u * u_t, "u*u_t**2": u * u_t**2, "u**2*u_t": u**2 * u_t}
        return rates | {"u_tt": u_tt} | slopes | powers | products | mixed

    return po.TermLibrary.of(terms)


def scores(found: dict[str, float], true: dict[str, float]) -> dict[str, float]:
    """How right an equation is."""
    hits = [name for name in found if name in true]
    errors = [abs(found.get(name, 0.0) / value - 1) for name, value in true.items()]
    return {
        "precision": len(hits) / max(1, len(found)),
        "recall": len(hits) / len(true),
        "exact": float(found.keys() == true.keys()),
        "coefficient_error": sum(errors) / len(errors),
    }


def rollouts(clean: Any) -> Any:
    """The error of a rollout over a whole trajectory, as a function of library and equation.

    It is None where the rollout diverges or is too stiff.
    """
    import numpy as np

    from pinops.discovery._columns import Columns
    from pinops.discovery._forms import Weak
    from pinops.discovery._rollout import Side, rollout
    from pinops.discovery._trajectories import Trajectories

    data = Trajectories.of(clean, periodic="x")
    true = data.values["u"]
    known: dict[int, Columns] = {}

    def error(library: Any, found: dict[str, float], order: int) -> float | None:
        if not found:
            return None
        if id(library) not in known:
            known[id(library)] = Columns.of(data, library, Weak(), 25)
        side = Side.of("u", order, found, known[id(library)], library, data)
        if side.rate * data.time.step * data.time.count > MOST_STEPS:
            return None
        try:
            values = rollout(data, 0, library, {"u": side})["u"]
        except ValueError:
            return None
        size = float(np.linalg.norm(values - true) / np.linalg.norm(true))
        return size if size < 1e3 else None

    return error


def ours(x: Any, t: Any, u: Any, true: dict[str, float]) -> tuple[dict[str, Any], Any]:
    """What pinops finds, and how right it is."""
    import pinops as po

    began = time.process_time()
    try:
        found = po.discover(dataset(x, t, u))
    except ValueError:
        return scores({}, true) | {"cpu_seconds": time.process_time() - began}, ({}, 1)
    seconds = time.process_time() - began
    (fit,) = found.fits.values()
    left = 2 if fit.target == "u_tt" else 1
    row: dict[str, Any] = scores(fit.by_name, true) | {"cpu_seconds": round(seconds, 3)}
    if left != (2 if "u_tt" in true else left):
        row["exact"] = 0.0
    inside = [
        abs(fit.by_name[name] - value) <= 2 * found.error_bars[name]
        for name, value in true.items()
        if name in fit.by_name
    ]
    return row | {"within_two_error_bars": inside, "left": fit.target}, (fit.by_name, left)


SETTINGS = [(name, threshold) for name in ("SR3", "STLSQ") for threshold in (0.02, 0.05, 0.1, 0.2)]


def theirs(x: Any, t: Any, values: dict[str, Any], seed: int) -> tuple[list[Any], float]:
    """The coefficients of the last equation for each of `SETTINGS`, and seconds for one."""
    import numpy as np
    import pysindy  # pyright: ignore[reportMissingImports]

    warnings.simplefilter("ignore")
    began = time.process_time()
    np.random.seed(seed)  # PySINDy chooses subdomains by the global generator
    grid = np.stack(np.meshgrid(x, t, indexing="ij"), -1)
    single = len(values) == 1
    library = pysindy.WeakPDELibrary(
        function_library=pysindy.PolynomialLibrary(degree=3, include_bias=False),
        derivative_order=4 if single else 2,
        include_interaction=single,
        spatiotemporal_grid=grid,
        K=300,
        H_xt=[np.ptp(x) / 10, np.ptp(t) / 10],
    )
    axes = {"ax_spatial": [0], "ax_time": 1, "ax_coord": 2}
    stacked = pysindy.AxesArray(np.stack([one.T for one in values.values()], -1), axes)
    rows = np.asarray(library.fit_transform(stacked))
    left = np.asarray(library.convert_u_dot_integral(stacked))
    names = [column(name) for name in library.get_feature_names()]
    shared = time.process_time() - began
    out = []
    for name, threshold in SETTINGS:
        if name == "SR3":
            optimizer = pysindy.SR3(
                reg_weight_lam=threshold**2 / 2,
                regularizer="L0",
                max_iter=1000,
                tol=1e-8,
                normalize_columns=True,
            )
        else:
            optimizer = pysindy.STLSQ(threshold=threshold, alpha=1e-12, normalize_columns=True)
        coefficients = np.asarray(optimizer.fit(rows, left).coef_)[-1]
        out.append({n: float(c) for n, c in zip(names, coefficients, strict=True) if c})
    return out, shared + (time.process_time() - began - shared) / len(SETTINGS)


def column(name: str) -> str:
    """A name of PySINDy in words of pinops: ``x0^2x0_11`` is ``u**2*u_xx``, x1 is u_t."""
    factors = []
    for number, power, ones in re.findall(r"x(\d)(?:\^(\d))?(?:_(1+))?", name):
        rate = "t" * (number == "1")
        suffix = rate + "x" * len(ones)
        factors.append("u" + (f"_{suffix}" if suffix else "") + (f"**{power}" if power else ""))
    return "*".join(factors)


def row_of(case: str, seed: int, smoke: bool, peer: bool) -> dict[str, Any]:
    """All levels of noise and all methods for one trajectory."""
    import pinops as po

    began = time.perf_counter()
    x, t, clean, true = trajectory(case, seed)
    order = 2 if "v" in clean else 1
    library = po.TermLibrary.of()
    rollout_error = rollouts(dataset(x, t, clean["u"]))
    levels: dict[str, Any] = {}
    for number, noise in enumerate(NOISE[1:2] if smoke else NOISE):
        values = {
            name: measured(array, noise, 1000 * seed + 10 * number + place)
            for place, (name, array) in enumerate(clean.items())
        }
        row, (found, left) = ours(x, t, values["u"], true)
        if left != order:
            row |= {"exact": 0.0, "precision": 0.0, "recall": 0.0, "coefficient_error": 1.0}
        row["rollout_error"] = rollout_error(library, found, left)
        methods = {OURS: row}
        if peer:
            every, seconds = theirs(x, t, values, seed)
            rated = [scores(one, true) for one in every]
            usual = SETTINGS.index(("SR3", 0.1))
            best = max(
                range(len(every)),
                key=lambda k: (
                    rated[k]["precision"] + rated[k]["recall"],
                    -rated[k]["coefficient_error"],
                ),
            )
            for name, k in ((THEIRS, usual), (BEST, best)):
                twice = name == BEST and k == usual
                error = (
                    methods[THEIRS]["rollout_error"]
                    if twice
                    else rollout_error(polynomials(), every[k], order)
                )
                more = {"rollout_error": error, "cpu_seconds": round(seconds, 3)}
                methods[name] = rated[k] | more
        levels[f"{noise:g}"] = methods
    return {"noise": levels, "process_seconds": round(time.perf_counter() - began, 1)}


def collected(cases: dict[str, Any], noise: str, method: str, key: str) -> list[Any]:
    """A number of all families and seeds."""
    runs = [run["noise"].get(noise, {}) for entry in cases.values() for run in entry["runs"]]
    return [run[method].get(key) for run in runs if method in run]


def median(values: list[Any]) -> float:
    """The median, where None is infinite."""
    import statistics

    return statistics.median(float("inf") if value is None else value for value in values)


def table(cases: dict[str, Any]) -> list[str]:
    """By noise and method, and by family the share of right equations."""
    lines = [
        "| noise | method | right equations | precision | recall | coefficient error | rollout "
        "error | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for noise in map("{:g}".format, NOISE):
        for method in (OURS, THEIRS, BEST):
            if not collected(cases, noise, method, "exact"):
                continue
            exact, precision, recall = (
                sum(values) / len(values)
                for key in ("exact", "precision", "recall")
                for values in [collected(cases, noise, method, key)]
            )
            error, rollout, seconds = (
                median(collected(cases, noise, method, key))
                for key in ("coefficient_error", "rollout_error", "cpu_seconds")
            )
            lines.append(
                f"| {float(noise):.0%} | {method} | {exact:.0%} | {precision:.2f} | {recall:.2f} | "
                f"{error:.1e} | {rollout:.1e} | {seconds:.1f} |"
            )
    inside = [
        one
        for noise in map("{:g}".format, NOISE[1:])
        for each in collected(cases, noise, OURS, "within_two_error_bars")
        for one in each or []
    ]
    if inside:
        share = sum(inside) / len(inside)
        counts = sorted(len(entry["runs"]) for entry in cases.values())
        few, many = counts[0], counts[-1]
        seeds = f"{few} seeds" if few == many else f"{few} to {many} seeds"
        lines += [
            "",
            "Precision and recall are means, errors and times medians over all families and "
            f"{seeds} each. With noise {share:.0%} of {len(inside)} coefficients found "
            "are within two error bars. The share of right equations by family, at "
            f"{', '.join(f'{noise:.0%}' for noise in NOISE)} of noise:",
        ]
    lines += ["", f"| family | {OURS} | {THEIRS} | {BEST} |", "|---|---|---|---|"]
    for name, entry in cases.items():
        cells = []
        for method in (OURS, THEIRS, BEST):
            shares = []
            for noise in map("{:g}".format, NOISE):
                values = collected({name: entry}, noise, method, "exact")
                shares.append(f"{sum(values) / len(values):.0%}" if values else "-")
            cells.append(", ".join(shares))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def figure(cases: dict[str, Any], path: Path) -> None:
    """The share of right equations and the coefficient error over the noise."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.5, 2.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    for method, style in ((OURS, "o-"), (THEIRS, "s--"), (BEST, "^:")):
        noise = [f"{level:g}" for level in NOISE]
        shares = [collected(cases, level, method, "exact") for level in noise]
        errors = [median(collected(cases, level, method, "coefficient_error")) for level in noise]
        percent = [100 * level for level in NOISE]
        left.plot(percent, [100 * sum(each) / len(each) for each in shares], style, label=method)
        right.plot(percent, errors, style, label=method)
    left.set(xlabel="noise in %", ylabel="right equations in %", ylim=(0, 105))
    right.set(xlabel="noise in %", ylabel="median coefficient error", yscale="log")
    left.legend(fontsize=8)
    drawn.savefig(path, dpi=130)


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, range(20))
    _record.add_markdown(options, PAGE)
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.markdown:
        _record.into_page(table(record.cases()), MARKS, asked.markdown)
        if asked.markdown == PAGE:
            figure(record.cases(), _record.ROOT / "docs/_static/discovery.png")
        return
    try:
        import pysindy  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("PySINDy is not installed: pip install pysindy, to compare with it")
        peer = False
    else:
        peer = True
    for case in asked.cases:
        for seed in asked.seeds:
            row = row_of(case, seed, bool(asked.smoke), peer)
            record.add(case, seed, row)
            exact = {n: [m["exact"] for m in level.values()] for n, level in row["noise"].items()}
            print(f"{case} seed {seed}: {exact}, {row['process_seconds']} s", flush=True)


if __name__ == "__main__":
    main()
