"""Several devices: eight virtual ones in one process, and two processes that talk to each other."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from decay import Decay

import pinops as po

COMMON = '''
import json, sys
import jax, jax.numpy as jnp, numpy as np
import pinops as po
from pinops.losses import Causal, Fixed, GradientNorm
from pinops.networks import embedding_of
from pinops.optimizers import GaussNewton, LevenbergMarquardt, SSBroyden, Adam
from pinops.problem import INTERIOR, impose, scales_of
from pinops.training import Training, gathered, mesh_of, split


class Heat(po.Problem):
    """u_t = u_xx with a condition as a loss term."""

    domain = po.Box(x=(0, 1), t=(0, 1))

    def residual(self, u_t, u_xx):
        return u_t - u_xx

    def conditions(self):
        return po.Initial(lambda x: jnp.sin(jnp.pi * x), soft=True), po.Dirichlet(0.0, on="x")


def training_of(devices, weighting, *phases, interior=64):
    problem = Heat()
    imposition = impose(problem)
    network = po.networks.MLP(width=6, depth=2).build(
        embedding_of(problem, imposition).size, 1, key=jax.random.key(0)
    )
    model, params = split(
        problem, network, imposition, scales_of(problem, imposition), "Heat", mesh_of(devices)
    )
    collocation = po.Collocation(interior=interior, initial=16, every=20)
    return Training(model, phases or (po.Phase(Adam(1e-2), 30),), collocation, 0, weighting), params
'''

EIGHT = (
    COMMON
    + """
from pathlib import Path
from pinops.data import generate
from pinops.training import _chunks

jax.config.update("jax_enable_x64", True)
_chunks.chunk_bytes = lambda: 20_000  # several chunks on each device
out = {}
flat = lambda tree: np.asarray(jax.flatten_util.ravel_pytree(tree)[0])
for name, weighting in {
    "fixed": Fixed(),
    "causal": Causal(every=7),
    "norm": GradientNorm(every=7),
}.items():
    one, eight = training_of(1, weighting), training_of(8, weighting)
    results = []
    for training, params in (one, eight):
        state = training.init(params)
        objective = lambda s: training.model.objective(s.points, s.weighting.weights)
        value, gradient = jax.jit(lambda s: objective(s)(s.params))(state)
        residuals = jax.jit(lambda s: objective(s).residuals(s.params))(state)
        at = [s.data.shape[0] for s in state.points[INTERIOR].at.addressable_shards]
        later = training.run(state).state
        results.append(
            [np.asarray(value), flat(gradient), np.asarray(residuals), flat(later.params)]
        )
    assert at == [8] * 8, at
    out[name] = [float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in zip(*results)]
for optimizer in (GaussNewton(damping=1e-4), LevenbergMarquardt(), SSBroyden()):
    steps = 18 if isinstance(optimizer, SSBroyden) else 3  # it writes its matrix after 16
    ends = [
        t.run(t.init(p)).state
        for t, p in (training_of(n, Fixed(), po.Phase(optimizer, steps)) for n in (1, 8))
    ]
    one, eight = (flat(end.params) for end in ends)
    out[type(optimizer).__name__] = [float(np.max(np.abs(one - eight)) / np.max(np.abs(one)))]
    assert all(
        array.addressable_shards[0].data.shape[0] == 1
        for array in optimizer.divisible(ends[1].optimizer)
    )
small = po.operators.DeepONet(po.networks.MLP(8, 2), po.networks.MLP(8, 2), latent=8)
points = po.Collocation(interior=256, batch=32, refinement=None)
for optimizer in (Adam(1e-3), GaussNewton(damping=1e-3)):
    ends = [
        po.train(
            "diffusion_reaction",
            small,
            functions=po.Functions(pool=64, batch=16, points=points),
            steps=10,
            optimizer=optimizer,
            dtype="float64",
            devices=n,
            progress=False,
        )
        for n in (1, 8)
    ]
    one, eight = (flat(end.params) for end in ends)
    out["operator, " + type(optimizer).__name__] = [
        float(np.max(np.abs(one - eight)) / np.max(np.abs(one)))
    ]
family = po.load_problem("cape_advection", cells=16, frames=6)
file = generate(family, Path(sys.argv[1]) / "data.h5", count=96, workers=1)
surrogate = po.operators.CAPE(po.operators.FNO(6, 4, 1), 8, 3, 4, 2)
ends = [
    po.train(
        family,
        surrogate,
        data=file,
        curriculum=po.Curriculum(3, 1, "linear"),
        functions=po.Functions(batch=16),
        physics=1e-3,
        dtype="float64",
        devices=n,
        progress=False,
    )
    for n in (1, 8)
]
one, eight = (flat(end.params) for end in ends)
out["surrogate"] = [float(np.max(np.abs(one - eight)) / np.max(np.abs(one)))]
print(json.dumps(out))
"""
)

RESUME = """
import sys
import jax
import pinops as po

sys.path.insert(0, sys.argv[4])
from decay import Decay

stop = lambda report: report.step >= int(sys.argv[3])
po.solve(
    Decay(),
    network=po.networks.MLP(width=6, depth=2),
    points=po.Collocation(interior=64, every=40),
    optimizer=po.optimizers.Adam(5e-3, 300),
    steps=100,
    devices=int(sys.argv[2]),
    out=sys.argv[1],
    resume=True,
    progress=False,
    callbacks=[stop],
)
"""

TWO = """
import json, sys
import jax

rank, port = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
import pinops as po

sys.path.insert(0, sys.argv[3])
from decay import Decay

solution = po.solve(
    Decay(),
    network=po.networks.MLP(width=6, depth=2),
    points=po.Collocation(interior=64, every=40),
    weighting=po.losses.Causal(every=20),
    optimizer=po.optimizers.Adam(5e-3, 300),
    steps=100,
    out=sys.argv[4],
    progress=False,
    checkpoint_seconds=0.0,
)
print(
    json.dumps(
        [
            solution.status,
            len(jax.devices()),
            solution.history[-1].loss,
            solution.error()["u"]["mean"],
            [float(x) for x in solution(t=[0.25, 0.75])],
        ]
    )
)
"""


# Compilation is most of the time of many small trainings; code that is not optimised rounds alike.
HASTY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def run(*commands: list[str], devices: int, flags: str = "") -> list[str]:
    """The last lines that Python processes print, which run side by side."""
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {flags}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(po.__file__).parents[1]),
    }
    running = [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for command in commands
    ]
    try:
        printed = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), "\n".join(
        stderr[-3000:] for _, stderr in printed
    )
    return [stdout.strip().splitlines()[-1] if stdout.strip() else "" for stdout, _ in printed]


def test_eight_devices_give_what_one_gives(tmp_path):
    """Loss, gradient and residual vector to round-off; training with weights and second-order
    methods nearly so.
    """
    script = tmp_path / "eight.py"
    script.write_text(EIGHT)
    (line,) = run([str(script), str(tmp_path)], devices=8, flags=HASTY)
    found = json.loads(line)
    for name in ("fixed", "causal", "norm"):
        assert max(found[name][:3]) < 1e-12 and found[name][3] < 1e-9, (name, found[name])
    assert all(
        found[name][0] < 1e-6 for name in ("GaussNewton", "LevenbergMarquardt", "SSBroyden")
    ), found
    assert found["operator, Adam"][0] < 1e-12 and found["operator, GaussNewton"][0] < 1e-6, found
    assert found["surrogate"][0] < 1e-9, found


def test_problems_that_devices_cannot_share_are_one_sentence():
    script = """
import pinops as po
try:
    po.train("antiderivative", functions=po.Functions(pool=64, batch=15), devices=2)
except ValueError as error:
    print(error)
"""
    (line,) = run(["-c", script], devices=2)
    wanted = (
        "15 problems of a step cannot be spread evenly over 2 devices; give Functions(batch=14)"
    )
    assert line == wanted


def test_a_checkpoint_of_some_devices_goes_on_with_others(tmp_path):
    script, here = tmp_path / "resume.py", str(Path(__file__).parents[1])
    script.write_text(RESUME)
    run([str(script), str(tmp_path / "run"), "4", "50", here], devices=4)
    run([str(script), str(tmp_path / "run"), "2", "100", here], devices=2)
    whole = po.solve(
        Decay(),
        network=po.networks.MLP(width=6, depth=2),
        points=po.Collocation(interior=64, every=40),
        optimizer=po.optimizers.Adam(5e-3, 300),
        steps=100,
        progress=False,
    )
    resumed = po.load(tmp_path / "run", problem=Decay())
    assert resumed.steps == 100
    np.testing.assert_allclose(resumed(t=[0.25, 0.75]), whole(t=[0.25, 0.75]), rtol=1e-9)


def test_two_processes_train_together(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script, here = tmp_path / "two.py", str(Path(__file__).parents[1])
    script.write_text(TWO)
    lines = run(
        *([str(script), str(rank), port, here, str(tmp_path / "run")] for rank in (0, 1)), devices=2
    )
    first, second = (json.loads(line) for line in lines)
    assert first == second and first[:2] == ["finished", 4]
    alone = po.solve(
        Decay(),
        network=po.networks.MLP(width=6, depth=2),
        points=po.Collocation(interior=64, every=40),
        weighting=po.losses.Causal(every=20),
        optimizer=po.optimizers.Adam(5e-3, 300),
        steps=100,
        progress=False,
    )
    assert first[2] == pytest.approx(alone.history[-1].loss, rel=1e-6)
    np.testing.assert_allclose(first[4], alone(t=[0.25, 0.75]), rtol=1e-8)
    kept = po.load(tmp_path / "run", problem=Decay())
    np.testing.assert_allclose(kept(t=[0.25, 0.75]), first[4], rtol=1e-12)


def test_devices_that_are_not_there_are_one_sentence():
    count = len(jax.devices())
    with pytest.raises(ValueError, match=f"devices must be a whole number from 1 to {count}"):
        po.solve(Decay(), devices=count + 1)
    with pytest.raises(ValueError, match="devices must be a whole number"):
        po.solve(Decay(), devices=0)
