"""Description of a training run: its score, its data and the commands to run next."""

from __future__ import annotations

import shlex
from pathlib import Path

from fer_mlops import REGISTERED_NAME
from fer_mlops.data.loading import Data
from fer_mlops.evaluation.report import Report
from fer_mlops.tracking.registration import Registration


def note_of(test: Report, data: Data, run_id: str, registration: Registration | None) -> str:
    """Returns the run's description in Markdown.

    Args:
        test: Report on the test faces.
        data: Data of the run.
        run_id: ID of the run in MLflow; empty without MLflow.
        registration: Registered version; None if there is none.
    """
    lines = [
        f"**Test macro-F1 {test.macro_f1}** on {test.people()} of *{data.table.name}*, "
        f"{data.split.kind} split."
    ]
    if registration:
        version = f"{REGISTERED_NAME} version {registration.version}"
        lines.append(f"- **Model**: {version} ({registration.alias}): {registration.reason}.")
    lines.append("- **Pages**: `training.html`" + ", `model_card.html`" * bool(registration))
    lines += [f"- **Next**: `{command}`" for command in next_commands(data, run_id, registration)]
    return "\n".join([lines[0], "", *lines[1:]])


def next_commands(data: Data, run_id: str, registration: Registration | None) -> tuple[str, ...]:
    """Returns commands that explain and evaluate the trained model; empty without MLflow."""
    if not run_id:
        return ()
    version = f"models:/{REGISTERED_NAME}/{registration.version}" if registration else ""
    model = version or f"runs:/{run_id}"
    face = Path(data.table.root) / data.table.paths[int(data.split.test[0])]
    if face.is_relative_to(Path.cwd()):
        face = face.relative_to(Path.cwd())
    shown = shlex.quote(str(face)) if face.is_file() else "sample"
    return (
        f"fer-mlops explain {shown} --model {model}",
        f"fer-mlops evaluate --model {model} --out report",
    )
