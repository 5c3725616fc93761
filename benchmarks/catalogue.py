"""Every catalogue problem with the default recipe, each in a fresh process: error, wall time, seeds, hardware.

    python benchmarks/catalogue.py [--seeds 0 1 2] [--problems burgers "burgers_inverse noise=0.01" ...] [options of pinops solve]
    python benchmarks/catalogue.py --markdown

The first prints a line for each run and updates ``benchmarks/results/catalogue.json`` (final iterates; what misses its bar is
marked); the second writes the recorded results as the table of the README.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "catalogue.json"
README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- catalogue: benchmarks/catalogue.py --markdown -->", "<!-- end of catalogue -->"
BARS = {
    "burgers": 1e-5,
    "poisson": 1e-5,
    "helmholtz": 1e-5,
    "heat": 1e-5,
    "kovasznay": 1e-5,
    "taylor_green": 1e-5,
    "reaction_diffusion": 1e-5,
    "wave": 1e-4,
    "lid_driven_cavity": 1e-2,
}
BAR, SECONDS = 1e-3, {"burgers": 90.0}
# How far the coefficient that is found may be from the one that the observations were made with.
INVERSE = {"burgers_inverse": 1e-3, "burgers_inverse noise=0.01": 2e-2, "allen_cahn_inverse": 1e-2}


def processor() -> str:
    """The model name of the CPU, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine() -> dict:
    """What a record says of the hardware."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": processor(), "cores": cores, "python": platform.python_version()}


def versions() -> dict:
    """What a record says of the software."""
    return {
        name: version(name) for name in ("pinops", "jax", "jaxlib", "equinox", "optax", "numpy")
    }


def run(case: str, seed: int, options: list[str], out: str | None = None) -> dict:
    """One ``pinops solve NAME --json`` in a fresh process with an empty compilation cache; a case is "NAME COEFFICIENT=VALUE".

    ``out`` keeps the run directory.
    """
    name, *settings = case.split()
    options = [*(("--set", *settings) if settings else ()), *options]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        command = [
            sys.executable,
            "-m",
            "pinops",
            "solve",
            name,
            "--seed",
            str(seed),
            "--out",
            out or f"{folder}/run",
            "--json",
        ]
        start = time.perf_counter()
        done = subprocess.run(command + options, capture_output=True, text=True, env=environment)
        wall = time.perf_counter() - start
    if done.returncode:
        return {
            "seed": seed,
            "process_seconds": wall,
            "failed": done.stderr.strip().splitlines()[-1:],
        }
    result = json.loads(done.stdout.splitlines()[-1])
    keep = (
        "relative_l2",
        "max_abs",
        "seconds",
        "compile_seconds",
        "steps",
        "parameters",
        "status",
        "reference",
        "coefficients",
    )
    row = {"seed": seed, "process_seconds": round(wall, 1)} | {key: result[key] for key in keep}
    for name, true in result["coefficients"].items():
        if name.startswith("true_"):
            row["coefficient_error"] = abs(
                result["coefficients"][name.removeprefix("true_")] / true - 1
            )
    return row


def measure(row: dict) -> float:
    """What a run is judged by: the error of the coefficient that was to be found, else the worst relative L2 error."""
    if "relative_l2" not in row:
        return float("inf")
    return row.get("coefficient_error", max(row["relative_l2"].values()))


def write_table() -> None:
    """Put the recorded results between the marks in the README."""
    recorded = json.loads(RESULTS.read_text())
    lines = [
        "| problem | relative L2 error (worst unknown), each seed | seconds, each seed | bar | reference, its error bar |",
        "|---|---|---|---|---|",
    ]
    for name, entry in sorted(recorded["problems"].items()):
        good = [run for run in entry["runs"] if run.get("relative_l2")]
        errors = ", ".join(f"{max(run['relative_l2'].values()):.1e}" for run in good)
        if name in INVERSE:
            errors += "; coefficient off by " + ", ".join(
                f"{100 * run['coefficient_error']:.1g} %" for run in good
            )
        seconds = ", ".join(f"{run['process_seconds']:.0f}" for run in entry["runs"])
        met = all(run["meets_bar"] for run in entry["runs"])
        reference = good[0]["reference"] if good else {"kind": "", "error_bar": {"": 0.0}}
        also = f", coefficient {100 * INVERSE[name]:g} %" if name in INVERSE else ""
        bar = f"{entry['bar']:.0e}{also} in {entry['seconds']:.0f} s" + (
            "" if met else ", **missed**"
        )
        worst = max(reference["error_bar"].values())
        lines.append(
            f"| {name} | {errors} | {seconds} | {bar} | {reference['kind']}, {worst:.0e} |"
        )
    machine = recorded["machine"]
    lines += [
        "",
        f"{machine['cores']} cores of {machine['processor']}, jax {recorded['versions']['jax']}.",
    ]
    into_readme(lines, (START, END))


def into_readme(lines: list[str], marks: tuple[str, str]) -> None:
    """Put lines between two marks of the README."""
    start, end = marks
    before, rest = README.read_text().split(start)
    README.write_text(before + start + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1])


def main() -> None:
    from pinops import available

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--problems", nargs="+", default=sorted({*available(), *INVERSE}))
    parser.add_argument("--markdown", action="store_true")
    arguments, options = parser.parse_known_args()
    if arguments.markdown:
        return write_table()
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"problems": {}}
    recorded |= {"machine": machine(), "versions": versions()}
    for name in arguments.problems:
        bar, limit = BARS.get(name, BAR), SECONDS.get(name, 300.0)
        runs = []
        for seed in arguments.seeds:
            result = run(name, seed, options)
            worst = (
                max(result["relative_l2"].values()) if result.get("relative_l2") else float("nan")
            )
            found = result.get("coefficient_error", 0.0) <= INVERSE.get(name, 0.0)
            result["meets_bar"] = bool(
                worst <= bar and found and result["process_seconds"] <= limit
            )
            runs.append(result)
            mark = "" if result["meets_bar"] else f"  MISSES {bar:.0e} in {limit:.0f} s"
            print(
                f"{name:20s} seed {seed}  {worst:.2e}  {result['process_seconds']:6.1f} s{mark}",
                flush=True,
            )
        recorded["problems"][name] = {
            "bar": bar,
            "seconds": limit,
            "options": options,
            "runs": runs,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
