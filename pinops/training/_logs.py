"""Logs: callbacks that write every report to a file, or to a service for experiments.

A report comes after a stretch of steps, so that a log costs the compiled loop nothing. Libraries
are looked for when a log is made and imported when it gets its first report::

    po.solve("burgers", callbacks=[po.TensorBoard("logs/burgers")])
"""

import abc
import importlib.util
import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax

from pinops._numbers import as_json
from pinops.settings import check_settings, instance
from pinops.training._state import Report


class Log(eqx.Module):
    """Abstract: a callback that writes reports somewhere.

    A log that fails warns, writes no more, and lets the training go on. Of several processes the
    first one writes.

    Raises:
        ValueError: For an invalid setting, or if the library is not installed.
    """

    library: ClassVar[str | None] = None  # that it needs, by the name of module and package

    # What it has to remember between two reports: an open writer, the last phase, a failure.
    _memory: dict[str, Any] = eqx.field(default_factory=dict, init=False, repr=False)

    def __check_init__(self):
        check_settings(self)
        if self.library is not None and importlib.util.find_spec(self.library) is None:
            raise ValueError(
                f"{type(self).__name__} needs the library {self.library}, which is not installed; "
                f"pip install {self.library}"
            )

    def __call__(self, report: Report) -> None:
        """Write a report; one of a stretch that was undone is none."""
        if "failure" in self._memory or report.message or jax.process_index() != 0:
            return
        try:
            self._write(report)
        except Exception as error:  # whatever a library raises must not cost the training
            self._memory["failure"] = error
            warnings.warn(
                f"{type(self).__name__} has ended at step {report.step}, and the training goes on: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )

    def _is_new(self, name: str, value: Any) -> bool:
        """Whether a value is another one than the last of that name, which is then remembered."""
        same = name in self._memory and self._memory[name] == value
        self._memory[name] = value
        return not same

    @abc.abstractmethod
    def _write(self, report: Report) -> None:
        """Write one report."""


def numbers(report: Report) -> dict[str, float]:
    """The numbers of a report by name: ``loss``, ``terms/residual``, ``errors/u``, ``seconds``.

    No name is the beginning of another up to a slash: MLflow makes folders of them.
    """
    groups = ("terms", "errors", "coefficients")
    named = {f"{group}/{k}": v for group in groups for k, v in getattr(report, group).items()}
    return {"loss": report.loss, **named, "seconds": report.seconds}


class JSONLines(Log):
    """One line of JSON for every report: ``po.JSONLines("log.jsonl")``.

    The keys are those of `Report`; a number that is not finite is null. A file that exists is
    continued.

    Args:
        path: The file.
    """

    path: str | Path = instance((str, Path), what="a path such as 'log.jsonl'")

    def __check_init__(self):
        check_settings(self)  # before the path is used
        if Path(self.path).is_dir():
            raise ValueError(
                f"JSONLines: path must be a file, got {str(self.path)!r}, a folder; name a file in "
                "it, such as 'log.jsonl'"
            )

    def _write(self, report: Report) -> None:
        row = asdict(report)
        del row["message"]
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(as_json(row) + "\n")


class TensorBoard(Log):
    """Curves for TensorBoard, through tensorboardX: ``po.TensorBoard("logs/burgers")``.

    Args:
        folder: The log directory; ``tensorboard --logdir`` shows it.
    """

    library = "tensorboardX"

    folder: str | Path = instance((str, Path), what="a folder such as 'logs'")

    def __check_init__(self):
        check_settings(self)  # before the folder is used
        if Path(self.folder).is_file():
            raise ValueError(
                f"TensorBoard: folder must be a folder, got {str(self.folder)!r}, a file; name "
                "another"
            )

    def _write(self, report: Report) -> None:
        if "writer" not in self._memory:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

            self._memory["writer"] = SummaryWriter(str(self.folder))
        writer = self._memory["writer"]
        for name, value in numbers(report).items():
            writer.add_scalar(name, value, report.step)
        if self._is_new("phase", report.phase):
            writer.add_text("phase", report.phase, report.step)
        writer.flush()


class WeightsAndBiases(Log):
    """A run of Weights & Biases: ``po.WeightsAndBiases("my project")``.

    It is the run that ``wandb.init`` has begun, or a new one, which ends with the process or by
    ``wandb.finish()``.

    Args:
        project: Of a new run.
    """

    library = "wandb"

    project: str = instance(str, "pinops", what="the name of a project")

    def _write(self, report: Report) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        run = wandb.run or wandb.init(project=self.project)
        if self._is_new("run", run):
            # Steps begin again in every time window, and its own step must not go backwards.
            run.define_metric("*", step_metric="step")
        run.log({**numbers(report), "phase": report.phase, "step": report.step})


class MLflow(Log):
    """A run of MLflow: ``po.MLflow("my experiment")``.

    It is the active run, or a new one, which ends with the process or by ``mlflow.end_run()``. The
    server is that of ``mlflow.set_tracking_uri`` or ``MLFLOW_TRACKING_URI``.

    Args:
        experiment: Of a new run.
    """

    library = "mlflow"

    experiment: str = instance(str, "pinops", what="the name of an experiment")

    def _write(self, report: Report) -> None:
        import mlflow  # pyright: ignore[reportMissingImports]

        if mlflow.active_run() is None:
            mlflow.set_experiment(self.experiment)
            mlflow.start_run()
        # MLflow refuses names such as "coefficients/rate[1]".
        row = {re.sub(r"[^\w\-./ ]", "_", name): v for name, v in numbers(report).items()}
        mlflow.log_metrics(row, step=report.step)
        if self._is_new("phase", report.phase):
            mlflow.set_tag("phase", report.phase)
