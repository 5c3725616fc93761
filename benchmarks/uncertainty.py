"""Answers with error bars: what they cost, and whether the bars hold the truth.

    python benchmarks/uncertainty.py [--cases cost] [--seeds 0] [--pin]
    python benchmarks/uncertainty.py --markdown

``cost``: a step of `po.uncertain(architecture, members=8)` is measured against one of the
architecture alone, with the same batch, of a DeepONet, a Fourier neural operator on a plane, CAPE
around one on a line and a network on Burgers' equation. Times are the median over stretches of
steps after the first two, which compile.

``coverage``: eight members of a DeepONet and of a Fourier neural operator learn the antiderivative
of random functions from 200 samples, and of a network the solution of Burgers' equation. A thousand
further samples, or points, calibrate bands of 90 %; two thousand others tell how many they hold.

``inverse``: 30 times, rate and capacity of logistic growth are found from 30 values with noise of
0.03. How often do intervals of 90 % hold them?

Recorded in ``benchmarks/results/uncertainty.json``.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import _record
from _record import Row

CASES = ("cost", "coverage", "inverse")
MARKS = ("<!-- bars: benchmarks/uncertainty.py --markdown -->", "<!-- end of bars -->")
KINDS = ("DeepONet", "FNO", "CAPE(FNO)", "MLP on Burgers' equation")
MEMBERS = 8
LEVEL = 0.9
COVERED = (0.88, 0.92)  # of the bands of 90 %
TARGETS = {"cost": 5.0, "coverage": COVERED, "inverse": LEVEL}  # cost: steps of one, on two cores
WAYS = ("standard_errors", "bootstrap=0.5", "bootstrap=0.8")
TIMES, NOISE, REPETITIONS = 30, 0.03, 30
TRUE = {"rate": 1.2, "capacity": 1.0}


def training(kind: str, seed: int, smoke: bool) -> Callable[[Any, Any], Any]:
    """A training of a kind, given what wraps its architecture and what is called after stretches of
    steps.
    """
    import numpy as np

    import pinops as po

    random = np.random.default_rng(seed)
    shared: dict[str, Any] = {"seed": seed, "progress": False}
    adam = {"optimizer": po.optimizers.Adam(1e-3)}
    x = np.arange(64) / 64
    if kind == "DeepONet":
        a = random.normal(size=(200, 50))
        data = po.Dataset.from_arrays(
            inputs={"a": a},
            outputs={"u": np.cumsum(a, 1) / 50**0.5},
            coordinates={"x": np.linspace(0, 1, 50)},
        )
        options = {"steps": 60 if smoke else 500, **adam, **shared}
        return lambda wrap, note: po.train(
            data, wrap(po.operators.DeepONet()), callbacks=[note], **options
        )
    if kind == "FNO":
        a = random.normal(size=(100, 32, 32))
        data = po.Dataset.from_arrays(
            inputs={"a": a},
            outputs={"u": np.cumsum(a, 1) / 32**0.5},
            coordinates={"x": x[:32], "y": x[:32]},
        )
        options = {"steps": 6 if smoke else 200, **shared}
        return lambda wrap, note: po.train(
            data, wrap(po.operators.FNO(16, 8)), callbacks=[note], **options
        )
    if kind == "CAPE(FNO)":
        u = np.cumsum(random.normal(size=(60, 12, 64)), 2) / 8
        data = po.Dataset.from_arrays(
            outputs={"u": u},
            coordinates={"t": np.linspace(0, 1, 12), "x": x},
            parameters={"a": random.uniform(size=60)},
            time="t",
        )
        options = {
            "curriculum": po.Curriculum(4 if smoke else 12),
            "functions": po.Functions(pool=60, batch=10),
            **shared,
        }
        return lambda wrap, note: po.train(
            data,
            wrap(po.operators.CAPE(po.operators.FNO(20, 12))),
            callbacks=[note],
            **options,
        )
    options = {
        "points": po.Collocation(interior=2048, every=20 if smoke else 100),
        **adam,
        "steps": 60 if smoke else 500,
        "dtype": "float32",
        **shared,
    }
    return lambda wrap, note: po.solve(
        "burgers", network=wrap(po.networks.MLP(20, 3)), callbacks=[note], **options
    )


def milliseconds(train: Callable[[Any, Any], Any], wrap: Any) -> float:
    """The median time of a step."""
    marks: list[tuple[float, int]] = []

    def note(report: Any) -> None:
        marks.append((time.perf_counter(), report.step))

    train(wrap, note)
    pairs = list(zip(marks[1:], marks[2:], strict=False)) or list(
        zip(marks, marks[1:], strict=False)
    )
    return 1e3 * statistics.median((b[0] - a[0]) / (b[1] - a[1]) for a, b in pairs)


def cost(seed: int, smoke: bool) -> Row:
    """The times of all kinds; of a smoke test that of the first."""
    import pinops as po

    def alone(architecture: Any) -> Any:
        return architecture

    def wrapped(architecture: Any) -> Any:
        return po.uncertain(architecture, members=2 if smoke else MEMBERS)

    found: Row = {"ms": {}, "ratio": {}}
    for kind in KINDS[:1] if smoke else KINDS:
        train = training(kind, seed, smoke)
        one, several = (milliseconds(train, wrap) for wrap in (alone, wrapped))
        found["ms"][kind] = {"one": round(one, 3), "members": round(several, 3)}
        found["ratio"][kind] = round(several / one, 2)
    return found


def coverage(seed: int, smoke: bool) -> Row:
    """The shares of truth in bands, and their widths, for an ensemble and after conformal
    prediction.
    """
    found: Row = {}
    for kind, predictions in (("DeepONet", deeponet), ("FNO", fno), (KINDS[-1], network)):
        began = time.perf_counter()
        found[kind] = covered(*predictions(seed, smoke))
        found[kind]["seconds"] = round(time.perf_counter() - began, 1)
    return found


def covered(truth: Any, members: Any) -> Row:
    """What bands of `LEVEL` hold; the first third of the samples calibrates them."""
    import numpy as np

    import pinops as po

    count = len(truth) // 3
    mean, spread = members.mean(0), members.std(0, ddof=1)
    known, new = slice(0, count), slice(count, None)
    bands = {"ensemble": po.metrics.prediction_band(LEVEL, members=members[:, new])}
    for name in ("conformal", "whole") if truth.ndim > 1 else ("conformal",):
        fitted = po.metrics.conformal(
            truth[known], mean[known], spread[known], level=LEVEL, simultaneous=name == "whole"
        )
        bands[name] = fitted.bands(mean[new], spread[new])
    off = mean[new] - truth[new]
    out: Row = {"error": round(float(np.linalg.norm(off) / np.linalg.norm(truth[new])), 5)}
    for name, (low, high) in bands.items():
        inside = (low <= truth[new]) & (truth[new] <= high)
        if name == "whole":
            inside = inside.all(axis=tuple(range(1, inside.ndim)))
        width = float(np.mean(high - low) / np.std(truth[new]))
        out[name] = {"coverage": round(float(inside.mean()), 4), "width": round(width, 5)}
    return out


def antiderivatives(seed: int, smoke: bool) -> tuple[Any, Any, Any]:
    """Samples for training, further ones, and where they are known."""
    import numpy as np

    import pinops as po

    random = np.random.default_rng(seed)
    x, waves = np.linspace(0, 1, 33), np.pi * np.arange(1, 6)
    few, more = (20, 30) if smoke else (200, 3000)
    amplitude = random.standard_normal((few + more, 5)) / np.arange(1, 6)
    f = amplitude @ np.cos(waves[:, None] * x)
    u = amplitude @ (np.sin(waves[:, None] * x) / waves[:, None])
    data = po.Dataset.from_arrays(
        inputs={"f": f[:few]}, outputs={"u": u[:few]}, coordinates={"x": x}
    )
    return data, (f[few:], u[few:]), x


def deeponet(seed: int, smoke: bool) -> tuple[Any, Any]:
    """Truth and members' predictions of further samples."""
    import pinops as po

    data, (f, u), x = antiderivatives(seed, smoke)
    asked = po.uncertain(po.operators.DeepONet(), members=2 if smoke else MEMBERS)
    steps = 20 if smoke else 2000
    trained = po.train(data, asked, steps=steps, seed=100 * seed, progress=False)
    return u, trained.each({"f": f}, x=x)


def fno(seed: int, smoke: bool) -> tuple[Any, Any]:
    """Truth and members' predictions of further samples."""
    import pinops as po

    data, (f, u), _ = antiderivatives(seed, smoke)
    asked = po.uncertain(po.operators.FNO(12, 8), members=2 if smoke else MEMBERS)
    steps = 5 if smoke else 1000
    trained = po.train(data, asked, steps=steps, seed=100 * seed, progress=False)
    return u, trained.each({"f": f})["u"]


def network(seed: int, smoke: bool) -> tuple[Any, Any]:
    """Truth and members' predictions of Burgers' equation at random points."""
    import pinops as po

    reference: Any = po.load_problem("burgers").reference()
    at = po.observe(reference, 30 if smoke else 3000, seed=seed)
    trained: Any = po.solve(
        "burgers",
        network=po.uncertain(po.networks.MLP(20, 3), members=2 if smoke else MEMBERS),
        points=po.Collocation(interior=512, every=100),
        optimizer=po.optimizers.SSBroyden(),
        steps=20 if smoke else 600,
        seed=100 * seed,
        progress=False,
    )
    return at.values["u"], trained.each(**at.coordinates)


def inverse(seed: int, smoke: bool) -> Row:
    """By way and coefficient: how often its interval holds the truth, and the error bar over the
    error (both root mean squares).
    """
    import numpy as np

    repetitions = 2 if smoke else REPETITIONS
    random = np.random.default_rng(seed)
    t = np.linspace(0.2, 5, TIMES)
    exact = 1 / (1 + 4 * np.exp(-TRUE["rate"] * t))
    noisy = [exact + NOISE * random.standard_normal(TIMES) for _ in range(repetitions)]
    found: Row = {}
    for way in WAYS[: 2 if smoke else None]:
        began = time.perf_counter()
        each = [estimates(way, t, u, 1000 * seed + 10 * k, smoke) for k, u in enumerate(noisy)]
        found[way] = {"seconds": round(time.perf_counter() - began, 1)}
        for name, true in TRUE.items():
            off = np.asarray([one[name][0] for one in each]) - true
            bar = np.asarray([one[name][1] for one in each])
            inside = np.abs(off) <= quantile(way) * bar
            found[way][name] = {
                "coverage": round(float(inside.mean()), 4),
                "bar_over_error": round(float(np.sqrt(np.mean(bar**2) / np.mean(off**2))), 3),
            }
    return found


def quantile(way: str) -> float:
    """Of Student's distribution, for intervals of `LEVEL`."""
    from scipy.stats import t

    free = TIMES - len(TRUE) if way == WAYS[0] else MEMBERS - 1
    return float(t.ppf((1 + LEVEL) / 2, free))


@cache
def growth() -> Any:
    """The problem, one class for all repetitions: another one would be compiled again."""
    import pinops as po

    class Growth(po.Problem):
        """u_t = r u (1 - u / K), u(0) = 0.2."""

        domain = po.Box(t=(0, 5))
        rate: float = po.positive(0.8)
        capacity: float = po.positive(1.5)

        def residual(self, u, u_t):
            return u_t - self.rate * u * (1 - u / self.capacity)

        def conditions(self):
            return (po.Initial(0.2),)

    return Growth()


def estimates(way: str, t: Any, u: Any, seed: int, smoke: bool) -> dict[str, tuple[float, float]]:
    """Every coefficient with its error bar, from observations of logistic growth."""
    import pinops as po

    alone: Any = po.networks.MLP(10, 2)
    share = None if way == WAYS[0] else float(way.split("=")[1])
    found: Any = po.invert(
        growth(),
        po.Observed({"t": t}, {"u": u}),
        unknown=tuple(TRUE),
        network=alone if share is None else po.uncertain(alone, MEMBERS, bootstrap=share),
        points=po.Collocation(interior=256, refinement=None, every=0),
        optimizer=po.optimizers.SSBroyden(),
        weighting=po.losses.Fixed(observed=0.1),  # with 1 the equation gives way to the noise
        steps=10 if smoke else 400,
        seed=seed,
        progress=False,
    )
    if share is None:
        errors = found.standard_errors()
        return {name: (found.coefficients[name], float(errors[name])) for name in TRUE}
    return {name: (float(p.mean), float(p.spread)) for name, p in found.coefficients.items()}


ROWS = {"cost": cost, "coverage": coverage, "inverse": inverse}


def table(cases: dict[str, Row]) -> list[str]:
    """The cases that are recorded, with their medians and ranges over seeds."""
    out: list[str] = []
    if "cost" in cases:
        runs = cases["cost"]["runs"]
        cores = runs[0]["machine"]["cores"]
        out += ["", f"| a step, {cores} core{'s' * (cores > 1)} | {MEMBERS} members over one |"]
        out += ["|---|---|"]
        for kind in KINDS:
            out.append(
                f"| {kind} | {over(runs, lambda run, kind=kind: run['ratio'][kind], '.1f')} |"
            )
    if "coverage" in cases:
        runs = cases["coverage"]["runs"]
        names = {"ensemble": "the ensemble", "conformal": "conformal", "whole": "whole fields"}
        out += ["", f"| held by bands of {LEVEL:.0%} | {' | '.join(names.values())} |"]
        out += ["|---|---|---|---|"]
        for kind in ("DeepONet", "FNO", KINDS[-1]):
            cells = [
                over(runs, lambda run, kind=kind, name=name: run[kind][name]["coverage"], ".0%")
                if name in runs[0][kind]
                else ""
                for name in names
            ]
            out.append(f"| {kind} | {' | '.join(cells)} |")
    if "inverse" in cases:
        runs = cases["inverse"]["runs"]
        out += ["", f"| intervals of {LEVEL:.0%} hold | {' | '.join(TRUE)} |", "|---|---|---|"]
        for way in WAYS:
            cells = [
                over(runs, lambda run, way=way, name=name: run[way][name]["coverage"], ".0%")
                for name in TRUE
            ]
            out.append(f"| `{way}` | {' | '.join(cells)} |")
    return [*out[1:], ""]


def over(runs: list[Row], value: Callable[[Row], float], form: str) -> str:
    """A table cell: the median over seeds, and their range."""
    values = [value(run) for run in runs]
    middle = format(statistics.median(values), form)
    return f"{middle} ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else middle


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    _record.add_markdown(options, _record.ROOT / "docs" / "guide" / "uncertainty.md")
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.markdown:
        _record.into_page(table(record.cases()), MARKS, asked.markdown)
        return
    if asked.one:
        print(json.dumps(ROWS[asked.cases[0]](asked.seeds[0], bool(asked.smoke))))
        return
    for case in asked.cases:
        for seed in asked.seeds:
            more = ["--pin"] if asked.pin else []
            more += ["--smoke", str(asked.smoke)] if asked.smoke else []
            row = _record.one(__file__, case, seed, *more)
            record.add(case, seed, row, target=TARGETS[case], members=MEMBERS)
            print(f"{case} seed {seed}: {row.get('ratio', row)}", flush=True)


if __name__ == "__main__":
    main()
