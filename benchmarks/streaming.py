"""A data set larger than the memory limit: does it train, and does reading it slow a step down?

``limit``: a file of five times the memory that is left to the process by ``ulimit -v``, that is the
limit on its address space less what Python and JAX have taken before. The data are streamed in
blocks; the row says how much memory the process had at most.

``speed``: steps per second of the same training with the file, of which a part lies in memory and
is replaced from the disk, and with all samples in memory.

Pairs of fields on 64 x 64, the second a smoothed square of the first; FNO(16, 8, depth=2), 8
samples in a step.
"""

import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import _record

CASES = {"limit": 400, "speed": 300}  # MB that are left to the process; MB of data
TIMES = 5  # the data as a multiple of the memory
N = 64


def lazy_pairs(count: int, n: int) -> Any:
    """Samples that are made block by block, so that no process holds them all."""
    import numpy as np

    import pinops as po
    from pinops.data._lazy import Lazy

    wave = np.exp(-np.add.outer(np.fft.fftfreq(n, 1 / n) ** 2, np.arange(n // 2 + 1) ** 2) / 20)

    def inputs(rows: slice) -> Any:
        numbers = range(rows.start, rows.stop)
        noise = [np.random.default_rng(k).standard_normal((n, n)) for k in numbers]
        smooth = np.fft.irfft2(np.fft.rfft2(np.reshape(noise, (-1, n, n))) * wave)
        return (10 * smooth).astype(np.float32)

    def outputs(rows: slice) -> Any:
        return np.fft.irfft2(np.fft.rfft2(inputs(rows) ** 2) * wave).astype(np.float32)

    line = np.arange(n) / n
    return po.Dataset.from_arrays(
        inputs={"a": Lazy((count, n, n), np.float32, inputs)},
        outputs={"u": Lazy((count, n, n), np.float32, outputs)},
        coordinates={"x": line, "y": line},
    )


def taken(name: str) -> int:
    """Bytes of the process: ``VmSize``, its address space, or ``VmHWM``, the most that was in
    memory at once.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def trained(data: Any, steps: int, **more: Any) -> Any:
    """A training of a small FNO."""
    import pinops as po

    network = po.operators.FNO(16, 8, depth=2)
    return po.train(data, network, steps=steps, progress=False, **more)


def limited(file: Path, megabytes: int, steps: int) -> dict[str, Any]:
    """A training of the file in a process that has so much memory left."""
    import pinops as po

    trained(lazy_pairs(40, N), 2)  # programs and threads come before the limit
    before, resident = taken("VmSize"), taken("VmHWM")
    limit = before + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    result = trained(po.Dataset.open(file), steps)
    return {
        "data_mb": round(file.stat().st_size / 2**20),
        "memory_left_mb": megabytes,
        "address_space_mb": round(limit / 2**20),
        "grown_mb": round((taken("VmHWM") - resident) / 2**20),
        "pool": result.request["functions"]["Functions"]["pool"],
        "samples": len(po.Dataset.open(file)),
        "steps": result.steps,
        "status": result.status,
        "relative_l2": {"u": result.history[-1].errors["u"]},
    }


def speeds(file: Path, steps: int) -> dict[str, Any]:
    """Steps per second from the disk and from memory, the first stretch of steps not counted."""
    import pinops as po

    data = po.Dataset.open(file)
    count = len(data.splits["training"])
    out: dict[str, Any] = {"data_mb": round(file.stat().st_size / 2**20), "samples": len(data)}
    for name, pool in (("memory", count), ("disk", count // 8)):
        seen: list[tuple[float, int]] = []
        functions = po.Functions(pool=pool, batch=8)

        def note(report: Any, seen: list[tuple[float, int]] = seen) -> None:
            seen.append((time.monotonic(), report.step))

        trained(po.Dataset.open(file), steps, functions=functions, callbacks=[note])
        (began, first), (ended, last) = seen[len(seen) // 8], seen[-1]
        out[f"steps_per_second_{name}"] = round((last - first) / (ended - began), 2)
    out["ratio"] = round(out["steps_per_second_disk"] / out["steps_per_second_memory"], 3)
    return out


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
    options.add_argument("--file", type=Path, help="the data, made before")
    asked = _record.parse(options)
    smoke = bool(asked.smoke)
    if asked.one:
        case = asked.cases[0]
        found = (
            limited(asked.file, 2000 if smoke else CASES[case], 2 if smoke else 300)
            if case == "limit"
            else speeds(asked.file, 20 if smoke else 400)
        )
        print(json.dumps(found))
        return
    record = _record.Record(asked.record)
    for case in asked.cases:
        megabytes = 1 if smoke else CASES[case] * (TIMES if case == "limit" else 1)
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            file = Path(folder) / "pairs.h5"
            lazy_pairs(max(20, megabytes * 2**20 // (8 * N * N)), N).save(file)
            more = ["--file", str(file)] + (["--smoke", str(asked.smoke)] if smoke else [])
            row = _record.one(__file__, case, 0, *more, cold=False)
        record.add(case, 0, row)
        print(case, row)


if __name__ == "__main__":
    main()
