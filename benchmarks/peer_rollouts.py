"""An FNO of neuraloperator trained on trajectories: prints a JSON object with the error of its
rollouts.

    python peer_rollouts.py FILE RECIPE WIDTH MODES DEPTH SEED SECONDS

Run by ``rollouts.py --peers PYTHON`` in a Python with neuraloperator and torch. ``FILE`` has
``train`` and ``test`` of shape (n, t, x). The recipe is "one step" (from true snapshots), "change"
(the same, and the network gives the change of the state) or "rollout" (the gradient goes through
whole rollouts). All use the library's FNO with its defaults, its grid embedding and its relative L2
loss, AdamW whose rate falls from 3e-3 to zero by a cosine of the CPU time, and gradients clipped to
norm 1. Training ends after a given CPU time, counted from the start of the process.
"""

import json
import math
import sys
import time

import neuralop  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from neuralop import LpLoss  # pyright: ignore[reportMissingImports]
from neuralop.models import FNO  # pyright: ignore[reportMissingImports]

RATE, TRAJECTORIES, STATES = 3e-3, 20, 320
TESTING = 2.0  # seconds that are left for the test


class Change(torch.nn.Module):
    """A network that gives the change of a state."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return state + self.network(state)


def rolled(model: torch.nn.Module, first: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` snapshots that follow, (n, count, x)."""
    states = [first[:, None]]
    for _ in range(count):
        states.append(model(states[-1]))
    return torch.cat(states[1:], 1)


def main() -> None:
    file, recipe, *numbers = sys.argv[1:]
    width, modes, depth, seed = map(int, numbers[:4])
    budget = float(numbers[4]) - TESTING
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    given = np.load(file)
    train, test = (torch.tensor(given[part], dtype=torch.float32) for part in ("train", "test"))
    mean, deviation = train.mean(), train.std()
    scaled = (train - mean) / deviation
    network = FNO(
        n_modes=(2 * modes,), in_channels=1, out_channels=1, hidden_channels=width, n_layers=depth
    )
    model = Change(network) if recipe == "change" else network
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    loss = LpLoss(d=1, p=2, reduction="mean")
    steps = 0
    n, t, _ = scaled.shape
    while (share := time.process_time() / budget) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * share)) / 2
        optimizer.zero_grad(set_to_none=True)
        if recipe != "rollout":
            at = torch.randint(n, (STATES,)), torch.randint(t - 1, (STATES,))
            found, true = model(scaled[at][:, None]), scaled[at[0], at[1] + 1][:, None]
        else:
            some = scaled[torch.randint(n, (TRAJECTORIES,))]
            found = rolled(model, some[:, 0], t - 1).flatten(0, 1)[:, None]
            true = some[:, 1:].flatten(0, 1)[:, None]
        loss(found, true).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    with torch.no_grad():
        predicted = mean + deviation * rolled(model, (test[:, 0] - mean) / deviation, t - 1)
    off = torch.linalg.vector_norm(predicted - test[:, 1:], dim=(1, 2))
    error = float((off / torch.linalg.vector_norm(test[:, 1:], dim=(1, 2))).mean())
    weights = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
    found = {"relative_l2": {"u": error}, "cpu_seconds": round(time.process_time(), 1)}
    versions = {"neuraloperator": neuralop.__version__, "torch": torch.__version__}
    print(json.dumps({**found, "steps": steps, "parameters": weights, "versions": versions}))


if __name__ == "__main__":
    main()
