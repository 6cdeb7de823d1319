"""Evaluation and comparison from Python: ``fer_mlops.evaluate`` and ``fer_mlops.compare``.

Modules that load torch are imported inside functions, so that a wrong name or store fails at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fer_mlops import CHAMPION_NAME
from fer_mlops.errors import ConfigError
from fer_mlops.pipelines.session import run_of, session
from fer_mlops.progress import Progress

if TYPE_CHECKING:
    from fer_mlops.config import DataConfig
    from fer_mlops.evaluation.comparison import Comparison
    from fer_mlops.models.calibration import OperatingPoint
    from fer_mlops.pipelines.evaluate import Evaluation
    from fer_mlops.reporting.html import Page

EXPERIMENT = "fer_mlops"
"""MLflow experiment of evaluations and comparisons, unless another one is named."""


class Named(Protocol):
    """A model with a name: ``Run`` or ``Predictor``."""

    @property
    def name(self) -> str: ...


Model = str | Path | Named
"""``models:/fer-classifier@champion``, ``runs:/<id>``, a folder, a ``Run`` or a ``Predictor``."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Comparison of models, with its page."""

    comparison: Comparison
    verdict: str
    """Which model is best, in one sentence."""
    files: Mapping[str, str]
    """HTML page and JSON by file name."""
    page: Page
    experiment_id: str
    """Experiment of its run in MLflow; empty without MLflow."""

    def __repr__(self) -> str:
        return f"Compared({self.verdict})"

    def _repr_html_(self) -> str:
        return self.page._repr_html_()


def evaluate(
    model: Model = CHAMPION_NAME,
    data: str | Path | Iterable[str | Path] = (),
    *,
    robustness: bool = False,
    experiment: str = EXPERIMENT,
    track: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluates a trained model as ``fer-mlops evaluate`` does.

    Args:
        model: Name or folder of a model, or a ``Run``.
        data: One or more data sets; by default the test part of the model's own data.
        robustness: Whether to evaluate on corrupted images too, which about doubles the time.
        experiment: MLflow experiment of the run.
        track: Whether to store the evaluation as a run in MLflow.
        progress: Called at the start of each stage; by default as for ``train``.

    Raises:
        ModelError: The model does not exist.
        ConfigError: The model is a folder and no data is given.
        DataError: The data cannot be read.
        TrackingError: The tracking store cannot be used.
    """
    name = name_of(model)
    sources = [str(data)] if isinstance(data, str | Path) else [str(source) for source in data]
    stored_in = experiment if track else None
    with session(progress, stored_in) as here:
        from fer_mlops.tracking.registry import require_model

        require_model(name)
        from fer_mlops.pipelines.evaluate import evaluate_model, evaluation_name

        with run_of(stored_in, evaluation_name(name, sources)) as log:
            return evaluate_model(
                name, sources, log, here.cache, here.progress, with_robustness=robustness
            )


def compare(
    models: Iterable[Model],
    *,
    data: str | Path | DataConfig | None = None,
    point: OperatingPoint = "default",
    anyway: bool = False,
    experiment: str = EXPERIMENT,
    track: bool = True,
    progress: Progress | None = None,
) -> Compared:
    """Compares trained models on the same faces, as ``fer-mlops compare`` does.

    Args:
        models: Two or more models: names, folders or ``Run`` objects.
        data: Data whose faces are all used; by default the models' shared test faces.
        point: Operating point of all models: ``default``, ``natural`` or ``balanced``.
        anyway: Whether to warn instead of refusing if a model was trained on people in the faces.
        experiment: MLflow experiment of the run.
        track: Whether to store the comparison as a run in MLflow.
        progress: Called at the start of each stage; by default as for ``train``.

    Raises:
        ModelError: A model does not exist.
        ConfigError: Fewer than two models are named, or a model's test faces are unknown.
        DataError: The faces cannot be read, or the comparison would not be fair.
        TrackingError: The tracking store cannot be used.
    """
    from fer_mlops.config import DataConfig

    names = [name_of(model) for model in models]
    other = data if isinstance(data, DataConfig | None) else DataConfig(source=str(data))
    stored_in = experiment if track else None
    with session(progress, stored_in) as here:
        from fer_mlops.pipelines.compare import PAGE, compare_models, comparison_name, log_comparison
        from fer_mlops.reporting.comparison_text import verdict_of
        from fer_mlops.reporting.html import Page

        comparison, root = compare_models(
            names,
            here.cache,
            other=other,
            operating_point=point,
            allow_overlap=anyway,
            progress=here.progress,
        )
        with run_of(stored_in, comparison_name(names, other)) as log:
            files = log_comparison(comparison, root, log)
    return Compared(
        comparison=comparison,
        verdict=verdict_of(comparison),
        files=files,
        page=Page(files[PAGE]),
        experiment_id=log.experiment_id,
    )


def name_of(model: Model) -> str:
    """Returns the name that a model is loaded by.

    Raises:
        ConfigError: The run is not in MLflow, so its model has no name.
    """
    name = str(model) if isinstance(model, str | Path) else model.name
    if not name:
        raise ConfigError(f"{model!r} is not in MLflow, so its model has no name; train with track=True")
    return name
