"""The passes of ``cape.py --step`` in neuraloperator: prints a JSON object with the milliseconds on
one thread.

Run by ``cape.py --step --peers PYTHON`` in a Python with neuraloperator and torch.
"""

import json
import statistics
import time

import neuralop  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
from neuralop.models import FNO  # pyright: ignore[reportMissingImports]

BATCH, POINTS, WIDTH, MODES, LAYERS = 32, 1024, 64, 16, 4
ROUNDS, REPEATS = 9, 3


def milliseconds(model: torch.nn.Module, x: torch.Tensor) -> float:
    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(x).square().mean().backward()

    step()
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REPEATS):
            step()
        times.append(1e3 * (time.process_time() - began) / REPEATS)
    return statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(BATCH, 1, POINTS)
    # The modes of both signs are counted there; a pointwise skip and no further layers within a
    # block, as here.
    settings = {
        "n_modes": (2 * MODES,),
        "in_channels": 1,
        "out_channels": 1,
        "hidden_channels": WIDTH,
        "n_layers": LAYERS,
    }
    model = FNO(
        **settings, use_channel_mlp=False, lifting_channel_ratio=0, projection_channel_ratio=2
    )
    weights = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
    found = {"eager": milliseconds(model, x)}
    try:
        found["compiled"] = milliseconds(torch.compile(model), x)
    except Exception as error:  # without a C++ compiler, for one
        print(f"torch.compile: {type(error).__name__}")
    print(json.dumps({"version": neuralop.__version__, "parameters": weights, "ms": found}))


if __name__ == "__main__":
    main()
