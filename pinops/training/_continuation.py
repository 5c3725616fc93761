"""Coefficients that change during a training, from an easy problem to the given one."""

import math
from collections.abc import Mapping, Sequence

from pinops._numbers import real
from pinops.settings import Number, Several, Table, check_settings, setting, whole
from pinops.training._contracts import Stages


class Continuation(Stages):
    """Parameter continuation: training at other coefficients first, then at the declared ones.

    Example:
        1000 steps at each of these values:

        >>> po.Continuation(1000, reynolds=(100, 400)).stages
        2

    Network and optimizer go on from stage to stage; nothing is compiled again.

    Args:
        steps: Of every stage, at least 1.
        coefficients: By name of a coefficient, its value in every stage.

    Raises:
        ValueError: For no stage, unequal numbers of stages, and a value that is not finite.
    """

    steps: int = whole(most=10**9)
    coefficients: dict[str, tuple[float, ...]] = setting(Table(Several(Number(), least=0)))

    def __init__(self, steps: int, /, **coefficients: Sequence[float]):
        self.steps = steps
        for name, values in coefficients.items():
            real(values, f"Continuation: {name}")
        self.coefficients = {
            name: tuple(values) if isinstance(values, Sequence) else values
            for name, values in coefficients.items()
        }

    def __check_init__(self):
        check_settings(self)
        lengths = {name: len(values) for name, values in self.coefficients.items()}
        if not lengths or 0 in lengths.values() or len(set(lengths.values())) > 1:
            raise ValueError(
                "Continuation: every coefficient needs one value for each stage, got "
                f"{lengths or 'no coefficient'}"
            )

    @property
    def stages(self) -> int:
        return len(next(iter(self.coefficients.values())))

    def at(self, step: int) -> Mapping[str, float]:
        """The coefficients that differ from the declared ones at a step."""
        stage = step // self.steps
        return (
            {}
            if stage >= self.stages
            else {name: values[stage] for name, values in self.coefficients.items()}
        )

    def begins(self, step: int) -> bool:
        """Whether a stage, or what comes after the last one, begins at this step."""
        return step % self.steps == 0 and 0 < step <= self.steps * self.stages

    def until(self, step: int) -> float:
        """The step at which the stage of this one ends; infinity after the last stage."""
        stage = step // self.steps
        return (stage + 1) * self.steps if stage < self.stages else math.inf
