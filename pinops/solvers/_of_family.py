"""What plans for families and data share: the common part of a request, and of a result."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinops.data import Dataset
from pinops.losses import Weighting
from pinops.problem import (
    DataFamily,
    Mixture,
    Problem,
    coefficients_as_json,
    coefficients_of,
    name_of,
)
from pinops.settings import share_of_memory
from pinops.solvers._door import Assembly, Options
from pinops.solvers._request import describe
from pinops.training import Functions, Outcome, Phase

POOL_BYTES = 2**30  # of samples in memory; the data set may be larger


@dataclass(frozen=True)
class FamilyPlan(abc.ABC):
    """What all members of an ensemble share; a subclass for everything that can be trained.

    Attributes:
        problem: The family.
        options: Those of all front doors.
        dataset: Where samples come from; None: members of the family are sampled.
        functions: How many samples are in memory, and in a step.
        phases: The optimizers, one after the other.
        weighting: Of the terms of the loss.
        fingerprint: Of the family.
    """

    problem: Problem
    options: Options
    dataset: Dataset | None
    functions: Functions
    phases: tuple[Phase, ...]
    weighting: Weighting
    fingerprint: dict[str, Any]

    @property
    def tested_on(self) -> Dataset | None:
        """The data, where a part of them is for testing; None: unseen members."""
        if self.dataset is None or not len(self.dataset.splits["test"]):
            return None
        return self.dataset

    @abc.abstractmethod
    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""

    def common(self, seed: int) -> dict[str, Any]:
        """The part of a request that does not depend on what is trained."""
        problem, dataset, options = self.problem, self.dataset, self.options
        seen = None if dataset is None else dataset.seen("training")
        request = {
            "problem": name_of(problem),
            "coefficients": describe(coefficients_of(problem)) | coefficients_as_json(problem),
            "data": None if dataset is None else dataset.digest,
            "data_members": seen,
            "functions": describe(self.functions),
            "weighting": describe(self.weighting),
            "fingerprint": self.fingerprint,
            "minutes": options.minutes,
            "seed": seed,
            "dtype": options.dtype,
            "compute_dtype": options.compute_dtype,
            **options.asked,
        }
        if isinstance(problem, DataFamily):
            request["family"] = problem.to_json()
        if isinstance(problem, Mixture):
            request["mixture"] = problem.to_json()
        if dataset is not None and dataset.layout.units:
            request["units"] = dict(dataset.layout.units)
        return request


def pool_of(dataset: Dataset, batch: int) -> int:
    """How many samples for training are kept in memory: all, unless they would fill much of it.

    Args:
        dataset: Where they come from.
        batch: How many a step takes, the least.
    """
    row = dataset.rows(range(1))
    numbers = sum(np.size(array) for name, array in row.items() if name != "cells")
    fitting = share_of_memory(POOL_BYTES) // (8 * numbers)
    return max(batch, min(len(dataset.splits["training"]), fitting))


def phases_request(phases: Sequence[Phase]) -> dict[str, Any]:
    """The optimizers of a request, and their steps."""
    return {
        "phases": [describe(phase.optimizer) for phase in phases],
        "phase_steps": [phase.steps for phase in phases[:-1]],
        "steps": sum(phase.steps for phase in phases),
    }


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    """What a result takes of the end of a training, by the names of its fields."""
    return {
        "params": outcome.params,
        "history": outcome.history,
        "status": outcome.status,
        "compile_seconds": outcome.compile_seconds,
        "state": outcome.state,
    }
