"""The cost of a step and the time to an accuracy on an accelerator, in both precisions.

    python benchmarks/gpu.py [--cases "burgers, float32" ...] [--seeds 0] [--minutes 5]

Uses JAX's default device, prints the measurements and updates ``benchmarks/results/gpu.json``.
Without an accelerator it prints an error and exits with 2. JAX needs support for the device
(``pip install "jax[cuda13]"``).
"""

import itertools
import json
import sys
from typing import Any

import _record
from _record import Row, measure

TARGETS = {"burgers": 3e-6, "poisson": 1e-7, "helmholtz": 1e-7, "wave": 1e-5, "taylor_green": 1e-5}
DTYPES = ("float32", "float64")
CASES = [", ".join(pair) for pair in itertools.product(TARGETS, DTYPES)]


def target(case: str) -> float:
    """The target relative L2 error; in single precision, its square root."""
    problem, dtype = case.split(", ")
    return TARGETS[problem] if dtype == "float64" else TARGETS[problem] ** 0.5


def run(case: str, seed: int, minutes: float, smoke: bool) -> Row:
    """Seconds until every error is below the target, with the default recipe."""
    import pinops as po
    from pinops.data import cached_reference

    problem, dtype = case.split(", ")
    cached_reference(po.load_problem(problem))
    limits: dict[str, Any] = {"steps": 2} if smoke else {"minutes": minutes}
    solution = po.solve(
        problem, target=target(case), dtype=dtype, seed=seed, progress=False, **limits
    )
    return {
        "relative_l2": {name: one["mean"] for name, one in solution.error().items()},
        "seconds": solution.seconds,
        "compile_seconds": solution.compile_seconds,
        "steps": solution.steps,
    }


def step_cost(rounds: int, smoke: bool) -> dict[str, float]:
    """Median milliseconds of a step."""
    from statistics import median

    from _burgers import SMOKE, HardBurgers, SoftBurgers, Work, by_hand, public

    work, out = SMOKE if smoke else Work(), {}
    for dtype in DTYPES:
        contenders = {
            "by hand": by_hand(work, dtype),
            "pinops": public(SoftBurgers(), work, dtype),
            "hard": public(HardBurgers(), work, dtype),
        }
        for name, (run, _) in contenders.items():
            out[f"{name}, {dtype}"] = median(run() for _ in range(rounds))
            print(f"step  {dtype}  {name:8s} {out[f'{name}, {dtype}']:8.3f} ms", flush=True)
    return out


def main() -> int:
    options = _record.parser(__file__, __doc__, CASES, seeds=[0])
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--rounds", type=int, default=5)
    arguments = _record.parse(options)
    smoke, minutes = bool(arguments.smoke), arguments.minutes
    if arguments.one:
        print(json.dumps(run(arguments.cases[0], arguments.seeds[0], minutes, smoke)))
        return 0
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu" and not smoke:
        about = "install JAX for the device and run this again"
        print(f"gpu.py: JAX finds no accelerator, only the CPU; {about}", file=sys.stderr)
        return 2
    results = _record.Record(arguments.record)
    results.section("step", device=device.device_kind, ms=step_cost(arguments.rounds, smoke))
    more = ["--minutes", str(minutes), *(["--smoke", str(arguments.smoke)] if smoke else [])]
    for case, seed in itertools.product(arguments.cases, arguments.seeds):
        row = _record.one(__file__, case, seed, *more, cold=not smoke)
        limits = {"target": target(case), "seconds": 60 * minutes}
        results.add(case, seed, row | {"device": device.device_kind}, **limits)
        shown = f"{measure(row):.1e} (target {target(case):.0e})"
        print(f"{case:22s} seed {seed}  {shown} in {row['process_seconds']:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
