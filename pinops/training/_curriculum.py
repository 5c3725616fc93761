"""From steps that begin at the truth to whole rollouts: the stages of a training of surrogates."""

import math
from collections.abc import Mapping

import equinox as eqx

from pinops.settings import Whole, check_settings, flag, number, one_of, require, whole
from pinops.training._contracts import Stages

SCHEDULES = ("tanh", "linear", "forced", "free")


class Curriculum(eqx.Module):
    """From steps that begin at the truth to steps that begin at the last prediction.

    Takamoto, Alesiani & Niepert 2023.

    In epoch e of E, w of them for warming up, the first ``clip(int(T s), 1, T)`` of T frames follow
    from the surrogate's own predictions, where ``s = (1 + tanh((r - 1/2) / 0.2)) / 2`` and
    ``r = (e - w) / (E - w)``.

    Args:
        epochs: At least 1, each of as many steps as a pass through the trajectories takes.
        warm_up: Of them, fewer than ``epochs``: in these only the embedding of the parameters is
            trained, by a loss of its own (none without one). None: 2, or as many as leave one
            epoch.
        schedule: tanh; linear: s = r; forced: every step begins at the truth; or free: none but the
            first.
        push_forward: No gradient goes through the predictions that steps begin at.
        noise: At least 0, the standard deviation of what is added to the states that steps begin
            at, in units of that of the data.

    Raises:
        ValueError: For a number or a schedule that does not exist.
    """

    epochs: int = whole(30)
    warm_up: int = whole(None, least=0, optional=True)
    schedule: str = one_of("tanh", SCHEDULES)
    push_forward: bool = flag(False)
    noise: float = number(1e-3, least=0)

    def __post_init__(self):
        if self.warm_up is None:
            self.warm_up = max(0, min(2, self.epochs - 1)) if isinstance(self.epochs, int) else 2

    def __check_init__(self):
        check_settings(self)
        require("Curriculum", "warm_up", self.warm_up, Whole(0, self.epochs))
        if self.warm_up >= self.epochs:
            raise ValueError(
                f"Curriculum: warm_up must be less than the {self.epochs} epochs, got "
                f"{self.warm_up}"
            )

    def free(self, epoch: int, frames: int) -> int:
        """How many snapshots of a trajectory follow from predictions in an epoch; 1: none does."""
        r = (epoch - self.warm_up) / (self.epochs - self.warm_up)
        s = {"tanh": (1 + math.tanh((r - 0.5) / 0.2)) / 2, "linear": r, "forced": 0.0, "free": 1.0}[
            self.schedule
        ]
        return 1 if epoch < self.warm_up else min(max(int(frames * s), 1), frames)


class Epochs(Stages):
    """A curriculum as the stages of a training, with ``steps`` in every epoch."""

    curriculum: Curriculum
    steps: int = eqx.field(static=True)
    frames: int = eqx.field(static=True)

    def at(self, step: int) -> Mapping[str, float]:
        epoch = step // self.steps
        return {
            "free": self.curriculum.free(epoch, self.frames),
            "warm": epoch < self.curriculum.warm_up,
        }

    def begins(self, step: int) -> bool:
        return step % self.steps == 0

    def until(self, step: int) -> float:
        return (step // self.steps + 1) * self.steps
