"""The cost of a training step: the public interface against code by hand, alternately on one core.

    python benchmarks/step_cost.py [--rounds 7] [--peers PYTHON --peer-scripts FOLDER]

The task: Burgers' equation, a network of 4 x 64 tanh units, 8192 interior, 256 initial and 256
boundary points, one full-batch step of Adam. The code by hand propagates u, u_x, u_t, u_xx through
the layers, one matrix product per layer, over chunks of 256 points. ``--peers`` names a Python with
DeepXDE (with torch or JAX), PINA and jinns; the scripts in FOLDER then time the same task with
them, on the same core. Prints medians, their ratios, XLA's estimate of the memory of a step, and
the compilation time of the default recipe with an empty and with a filled cache, and records all of
them in ``benchmarks/results/step_cost.json``.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import _record
from _record import Row

PEERS = {  # the script and its environment variables
    "DeepXDE, torch": ("a_deepxde.py", {"DDE_BACKEND": "pytorch"}),
    "DeepXDE, JAX": ("a_deepxde.py", {"DDE_BACKEND": "jax"}),
    "PINA": ("a_pina.py", {}),
    "jinns": ("a_jinns.py", {}),
}


def peer(python: str, script: Path, told: dict[str, str], dtype: str) -> float | None:
    """Milliseconds of a step in another framework; None if it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        own = {"JAX_PLATFORMS": "cpu", "F64": str(int(dtype == "float64")), "OUT_JSONL": str(rows)}
        found = _record.fresh([os.path.abspath(python), str(script)], environment=own | told)
        if not rows.exists():
            print(f"{dtype}  {script.name}: {found.get('failed')}", file=sys.stderr)
            return None
        return float(json.loads(rows.read_text().splitlines()[-1])["ms"])


def compilation(steps: int) -> dict[str, float]:
    """Seconds that ``pinops solve burgers`` compiles, with an empty cache and with a filled one.

    Only tracing, lowering and compiling count, not the first steps.
    """
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        for name in ("cold", "cached"):
            command = ["solve", "burgers", "--steps", str(steps), "--json"]
            done = _record.fresh(
                _record.pinops(*command, "--out", f"{folder}/{name}"), environment=cache
            )
            out[name] = done["compile_seconds"]
            print(f"compilation, {name}: {out[name]:.1f} s", flush=True)
    return out


def main() -> None:
    options = _record.parser(__file__, __doc__, seeds=())
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--peers", metavar="PYTHON")
    options.add_argument("--peer-scripts", type=Path, metavar="FOLDER")
    arguments = _record.parse(options)
    if arguments.peers and not arguments.peer_scripts:
        options.error("--peers needs --peer-scripts, the folder of the scripts to run there")
    compiled = compilation(2 if arguments.smoke else 400)
    _record.pin()
    from _burgers import SMOKE, HardBurgers, SoftBurgers, Work, by_hand, public

    work, rounds = (SMOKE, 1) if arguments.smoke else (Work(), arguments.rounds)
    found: Row = {"ms": {}, "ratio": {}, "bytes": {}, "bytes_ratio": {}}
    for dtype in ("float32", "float64"):
        contenders = {
            "by hand": by_hand(work, dtype),
            "pinops": public(SoftBurgers(), work, dtype),
            "pinops, hard": public(HardBurgers(), work, dtype),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (run, _) in contenders.items():
                times[name].append(run())
        needs = {name: size for name, (_, size) in contenders.items()}
        ms = {name: statistics.median(values) for name, values in times.items()}
        ratios = {
            name: statistics.median(a / b for a, b in zip(values, times["by hand"], strict=True))
            for name, values in times.items()
        }
        for name, (script, told) in PEERS.items() if arguments.peers else ():
            python, path = arguments.peers, arguments.peer_scripts.resolve() / script
            if (one := peer(python, path, told, dtype)) is not None:
                ms[name], ratios[name] = one, one / ms["by hand"]
        found["ms"][dtype], found["ratio"][dtype], found["bytes"][dtype] = ms, ratios, needs
        bound = needs["by hand"]
        found["bytes_ratio"][dtype] = {name: size / bound for name, size in needs.items()}
        for name, value in ms.items():
            memory = f"  {needs[name] / 2**20:6.1f} MiB" if name in needs else ""
            shown = f"{value:7.2f} ms  {ratios[name]:5.2f} of the bound{memory}"
            print(f"{dtype}  {name:14s} {shown}", flush=True)
    _record.Record(arguments.record).section("step", compile_seconds=compiled, **found)


if __name__ == "__main__":
    main()
