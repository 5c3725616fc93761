"""The cost of a step and the time to an accuracy on an accelerator, in both precisions.

    python benchmarks/gpu.py [--problems burgers poisson ...] [--minutes 5]

Takes JAX's default device, prints what it measures and records it in ``benchmarks/results/gpu.json``. Without an accelerator it
says so and ends with 2. JAX must have been installed for the device (``pip install "jax[cuda13]"``).
"""

import argparse
import json
import sys
import time

import jax
from catalogue import RESULTS, machine, versions
from step_cost import HardBurgers, SoftBurgers, by_hand, public

import pinops as po
from pinops.data import cached_reference

TARGETS = {"burgers": 3e-6, "poisson": 1e-7, "helmholtz": 1e-7, "wave": 1e-5, "taylor_green": 1e-5}


def time_to(problem: str, dtype: str, minutes: float) -> dict:
    """Seconds until every error is below the problem's target (in single precision its square root), with the default recipe."""
    target = TARGETS[problem] if dtype == "float64" else TARGETS[problem] ** 0.5
    cached_reference(po.load_problem(problem))
    began = time.perf_counter()
    solution = po.solve(problem, minutes=minutes, target=target, dtype=dtype, progress=False)
    error = max(one["relative_l2"] for one in solution.error().values())
    return {
        "target": target,
        "error": error,
        "seconds": time.perf_counter() - began,
        "compile_seconds": solution.compile_seconds,
        "steps": solution.history[-1].step if solution.history else 0,
        "met": error <= target,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = jax.devices()[0]
    if device.platform == "cpu":
        print(
            "gpu.py: JAX finds no accelerator, only the CPU; install JAX for the device and run this again",
            file=sys.stderr,
        )
        return 2
    recorded: dict = {
        "device": device.device_kind,
        "machine": machine(),
        "versions": versions(),
        "step_ms": {},
        "time_to": {},
    }
    for dtype in ("float32", "float64"):
        contenders = {
            "by hand": by_hand,
            "pinops": lambda d: public(SoftBurgers(), d),
            "hard": lambda d: public(HardBurgers(), d),
        }
        for name, make in contenders.items():
            run, _ = make(dtype)
            times = sorted(run() for _ in range(arguments.rounds))
            recorded["step_ms"][f"{name}, {dtype}"] = times[len(times) // 2]
            print(f"step  {dtype}  {name:8s} {times[len(times) // 2]:8.3f} ms", flush=True)
        for problem in arguments.problems:
            row = time_to(problem, dtype, arguments.minutes)
            recorded["time_to"][f"{problem}, {dtype}"] = row
            print(
                f"{problem:14s} {dtype}  {row['error']:.1e} (target {row['target']:.0e}) in {row['seconds']:.0f} s",
                flush=True,
            )
            RESULTS.with_name("gpu.json").write_text(json.dumps(recorded, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
