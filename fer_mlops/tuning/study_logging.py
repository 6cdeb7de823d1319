"""Study logging: trial values, best value so far, pictures and links in the study's run."""

from __future__ import annotations

import json
from collections.abc import Callable

from optuna.trial import FrozenTrial

from fer_mlops.config.recipes import recipe_text
from fer_mlops.progress import Advance
from fer_mlops.tracking.queries import logged_steps
from fer_mlops.tracking.runs_view import run_link
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.finalists import FOLDS, FinalsResult
from fer_mlops.tuning.search_space import shown, with_settings
from fer_mlops.tuning.storage import read_url, shown_url
from fer_mlops.tuning.study import (
    ERROR,
    FINISHED,
    RUN,
    SETTINGS,
    OpenStudy,
    TrialRecord,
    record_of,
    records_of,
)
from fer_mlops.tuning.study_plots import study_plots

_LOGGING = "telling the parent run"
OnTrial = Callable[[TrialRecord, "TrialRecord | None", str], None]
"""Called with a trial that ended, the best trial so far if any, and the reason if the trial failed."""


class StudyLogger:
    """Logs trials as they end, whichever worker or machine ran them."""

    def __init__(self, opened: OpenStudy, advance: Advance, on_trial: OnTrial | None) -> None:
        self.plan, self.study, self.locks = opened.plan, opened.study, opened.locks
        self.parent = opened.parent
        self.advance, self.on_trial = advance, on_trial
        self.best: TrialRecord | None = None
        self._logged: set[int] | None = None
        self._seen: set[int] = set()
        self._new(is_first=True)

    def update(self) -> None:
        """Logs the trials that ended since the last call."""
        for trial, best in self._new():
            record = record_of(trial)
            if trial.state in FINISHED:
                self.advance(1)
            if self.on_trial:
                self.on_trial(record, best, trial.user_attrs.get(ERROR, ""))
        if self._logged is None or self._seen - self._logged:
            self._log_to_parent()

    def _new(self, *, is_first: bool = False) -> list[tuple[FrozenTrial, TrialRecord | None]]:
        """Returns the trials that ended since the last call, each with the best trial so far."""
        new = []
        for trial in self.study.get_trials(deepcopy=False):
            ended = trial.state in FINISHED or ERROR in trial.user_attrs
            if not trial.state.is_finished() or not ended or trial.number in self._seen:
                continue
            self._seen.add(trial.number)
            record = record_of(trial)
            if record.state == "complete" and record.value is not None:
                is_best = self.best is None or self.best.value is None
                if is_best or self.plan.is_better(record.value, self.best.value):  # type: ignore[union-attr, arg-type]
                    self.best = record
            new.append((trial, self.best))
        return [] if is_first else new

    def _log_to_parent(self) -> None:
        """Logs values that are not logged yet, in the one process that holds the lock."""
        if not self.locks.take(_LOGGING):
            return
        key = self.plan.tuning.objective
        if self._logged is None:
            self._logged = self.parent.ask(lambda: logged_steps(self.parent.run_id, f"best/{key}"))
        best: float | None = None
        with self.parent.together():
            for record in records_of(self.study):
                if record.number not in self._seen:
                    continue
                if record.state == "complete" and record.value is not None:
                    is_better = best is None or self.plan.is_better(record.value, best)
                    best = record.value if is_better else best
                if record.number in self._logged:
                    continue
                self._logged.add(record.number)
                values = {f"trial/{key}": record.value} if record.state == "complete" else {}
                metrics = {name: value for name, value in values.items() if value is not None}
                metrics |= {} if best is None else {f"best/{key}": best}
                if metrics:
                    self.parent.log_metrics(metrics, record.number)


def log_beginning(plan: Plan, parent: Tracker, data_name: str) -> None:
    """Logs the sweep's settings, search method and space."""
    parent.log_settings(plan.experiment)
    parent.log_facts(
        {
            "family": plan.experiment.family,
            "study": plan.study_name,
            "storage": shown_url(read_url(plan.storage_url)),
            "data": data_name,
            "sampler": plan.tuning.sampler,
            "pruner": plan.tuning.pruner,
            "objective": f"{plan.direction} {plan.tuning.objective}",
        }
    )
    parent.log_json("space.json", json.loads(plan.space.as_json()))


def log_pictures(opened: OpenStudy, outcome: FinalsResult) -> None:
    """Logs pictures of the study's current state and the winner's settings."""
    plan, parent, best = opened.plan, opened.parent, outcome.best
    parent.log_metrics({f"best/{plan.tuning.objective}": float(best.value or 0.0)}, best.number)
    settings = outcome.winner.user_attrs[SETTINGS]
    parent.log_json("best_settings.json", settings)
    parent.log_text("winner.yaml", recipe_text(with_settings(plan.experiment, settings)))
    for name, figure in study_plots(opened.study, plan.tuning.objective).items():
        parent.log_figure(f"study/{name}.png", figure)


def log_winner(opened: OpenStudy, outcome: FinalsResult, winner_run: str, test: str) -> None:
    """Links the study's run to its best trial, its finalists and the winner's run."""
    plan, parent = opened.plan, opened.parent
    best, winner, finals = outcome.best, outcome.winner, outcome.finalists

    def link(trial: FrozenTrial, name: str) -> str:
        return f"[{name}]({run_link(parent.experiment_id, trial.user_attrs.get(RUN, ''))})"

    parent.log_facts(
        {
            "winner_run": winner_run,
            "winner_trial": winner.number,
            "best_trial_run": best.user_attrs.get(RUN, ""),
        }
    )
    rows = "\n".join(f"| `{key}` | {shown(v)} |" for key, v in winner.user_attrs[SETTINGS].items())
    again = "".join(
        f"| {link(finalist.trial, finalist.name)} | {finalist.trial.value:.4f} | {finalist.summary} |\n"
        for finalist in finals
    )
    head = f"| finalist | as a trial | over {FOLDS} folds |\n|---|---|---|\n" if finals else ""
    note = (
        f"**Study {plan.study_name}**: {plan.direction} `{plan.tuning.objective}`\n\n"
        f"Best: {link(best, f'trial {best.number}')}, {best.value:.4f}. "
        f"Trial {winner.number} was retrained and tested once as "
        f"[the winner]({run_link(parent.experiment_id, winner_run)}): {test}.\n\n{head}{again}\n"
        f"| setting | winner |\n|---|---|\n{rows}\n\n"
        "Pictures: artifacts, `study/`."
    )
    parent.log_note(note)
