"""Promotion gate: checks a version against rules and the champion on the same faces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from fer_mlops import REGISTERED_NAME
from fer_mlops.config.promotion import GateRules, gate_file, read_rules
from fer_mlops.data.file_info import read_records
from fer_mlops.data.loading import Data
from fer_mlops.errors import ConfigError, TrackingError
from fer_mlops.evaluation.paired import Pairing, pair
from fer_mlops.evaluation.predictions import LabelledPredictions, predict_table
from fer_mlops.evaluation.report import Report, evaluate
from fer_mlops.evaluation.slices import Slices, slice_faces, traits_of
from fer_mlops.evaluation.speed import Speed, measure_speed
from fer_mlops.metrics.bootstrap import LEAST_FOR_INTERVAL
from fer_mlops.pipelines.candidates import Candidate, candidate_in, candidate_of
from fer_mlops.pipelines.promotion_data import promotion_test_set
from fer_mlops.pipelines.reproduction import TOLERANCE, compare_code, reproduction_error
from fer_mlops.pipelines.shared_test_set import SharedTestSet
from fer_mlops.progress import Progress, no_progress
from fer_mlops.tracking.alias_lock import find_version, get_version, reason_against
from fer_mlops.tracking.aliases import keep_out, move_champion, record_decision
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, is_drawn
from fer_mlops.tracking.registry import downloaded_model
from fer_mlops.tracking.runs import track
from fer_mlops.tracking.tracker import Tracker

_TIMED = 64  # number of faces for measuring latency
_LOADS = "loads, answers as stored"
_ENOUGH = "faces to compare on"
REFUSED = "refused"


@dataclass(frozen=True)
class Check:
    """One gate rule, and whether the version passes it."""

    rule: str
    measured: str
    required: str
    is_passed: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Decision of the gate on a version."""

    version: int
    champion: int | None
    """Champion before the decision; None if there was none."""
    faces: str
    checks: tuple[Check, ...]
    warnings: tuple[str, ...] = ()
    outcome: str = REFUSED
    """New status of the version: ``champion``, ``challenger``, or REFUSED (neither)."""

    @property
    def is_promoted(self) -> bool:
        """Whether the version passes every rule."""
        return all(check.is_passed for check in self.checks)

    @property
    def has_too_few_faces(self) -> bool:
        """Whether nothing was measured, for want of faces."""
        return any(check.rule == _ENOUGH and not check.is_passed for check in self.checks)

    @property
    def reason(self) -> str:
        """The rules that failed, or that all passed."""
        failed = [f"{check.rule}: {check.measured}" for check in self.checks if not check.is_passed]
        return "; ".join(failed) or f"passed all {len(self.checks)} rules of the gate on {self.faces}"

    def as_dict(self) -> dict[str, object]:
        """Returns the decision as plain values, for JSON."""
        return {**asdict(self), "is_promoted": self.is_promoted, "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Measurements of one candidate on the shared faces."""

    predictions: LabelledPredictions
    report: Report
    slices: Slices
    speed: Speed
    num_bytes: int


def promote_in_run(
    version: int,
    experiment: str,
    cache: Path,
    *,
    gate: Path | None = None,
    source: str | None = None,
    data: Data | None = None,
    progress: Progress = no_progress,
    announce: Callable[[Decision, str], None] = lambda _, __: None,
) -> Decision:
    """Runs ``promote`` in a run of its own, with the project's rules unless ``gate`` names a file.

    ``announce`` is called with the decision and the ID of the MLflow experiment. Errors are those of
    ``promote``, and a ConfigError if the file of rules is invalid.
    """
    rules = read_rules(gate or gate_file())
    with track(experiment, f"promote v{version}") as tracker:
        decision = promote(version, rules, tracker, cache, source=source, data=data, progress=progress)
        announce(decision, tracker.experiment_id)  # here: it is final even if the run cannot be closed
    return decision


def promote(
    version: int,
    rules: GateRules,
    tracker: Tracker,
    cache: Path,
    *,
    source: str | None = None,
    data: Data | None = None,
    progress: Progress = no_progress,
) -> Decision:
    """Runs the gate: makes the version champion or else challenger, and logs the decision.

    Version and champion are evaluated on the validation faces of the version's split without people in
    the champion's training data, or on all faces of ``source``. The version's test faces are never used,
    because promotion is a selection.

    The decision is recorded before the alias moves, and only by the promotion that moves it. A version
    that does not load, or does not reproduce its stored predictions, does not become challenger. An
    older version does not take that alias from a newer one. ``data``, on which this process trained the
    version, is not read again.

    Raises:
        ModelError: The version does not exist, or the champion has changed meanwhile.
        ConfigError: The version is champion already, or its data is unknown and no source is given.
        DataError: The faces cannot be read, or a model has seen them.
    """
    champion = find_version(CHAMPION)
    before = int(champion.version) if champion else None
    if before == version:
        raise ConfigError(f"version {version} is champion already")
    entry = get_version(version)
    # drawn faces say nothing about real ones, so a champion of drawings is no measure of this version
    is_no_measure = champion is not None and is_drawn(champion.tags) and not is_drawn(entry.tags)
    compared = (version,) if is_no_measure else (version, before)
    names = [f"models:/{REGISTERED_NAME}/{number}" for number in compared if number]
    # loaded from the registry even if this process trained it: the gate decides on what others load
    with downloaded_model(names[0]) as folder:
        candidates = [candidate_in(folder, names[0]), *map(candidate_of, names[1:])]
        test_set, is_common = promotion_test_set(candidates, source, cache, progress, data)
        measured = _measure(candidates, test_set, cache, progress) if len(test_set.table) else []
        checks = tuple(_checks(rules, folder, measured, len(test_set.table), is_common))
    cautions = [own.report.units.caution for own in measured[:1] if own.report.units.caution]
    if is_no_measure:
        cautions.append(f"not compared with version {before}, which was trained on drawn faces")
    if barred := reason_against(entry, champion):
        checks = (Check("fit for an alias", barred, "no reason against it", False), *checks)
    decision = Decision(
        version=version,
        champion=before,
        faces=f"{test_set.described}, {len(test_set.table)} faces",
        checks=checks,
        warnings=(*test_set.warnings, *cautions),
    )
    if decision.is_promoted:
        decision = replace(decision, outcome=CHAMPION)
        try:
            move_champion(version, before, lambda: _record(decision, rules, tracker))
        except TrackingError:
            # the alias has not moved, so the recorded decision must not say that it has
            with suppress(TrackingError):
                _record(replace(decision, outcome="not promoted"), rules, tracker)
            raise
    else:
        is_sound = not barred and any(one.rule == _LOADS and one.is_passed for one in checks)
        is_challenger = keep_out(version, is_sound=is_sound)
        decision = replace(decision, outcome=CHALLENGER if is_challenger else REFUSED)
        _record(decision, rules, tracker)
    return decision


def _measure(
    candidates: list[Candidate], test_set: SharedTestSet, cache: Path, progress: Progress
) -> list[_Measured]:
    sides = [candidate.classifier.image_size for candidate in candidates]
    read = {side: test_set.pixels(side, cache, progress) for side in dict.fromkeys(sides)}
    pixels = [read[side] for side in sides]
    speeds = measure_speed(
        [candidate.classifier for candidate in candidates], [faces[:_TIMED] for faces in pixels]
    )
    traits = traits_of(test_set.table, read_records(test_set.table))
    measured = []
    for candidate, faces, speed in zip(candidates, pixels, speeds, strict=True):
        predictions = predict_table(candidate.classifier, test_set.table, faces)
        about = (predictions.labels, predictions.probabilities(), predictions.identities)
        measured.append(
            _Measured(
                predictions=predictions,
                report=evaluate(*about),
                slices=slice_faces(*about, traits),
                speed=speed,
                num_bytes=candidate.num_bytes,
            )
        )
    return measured


def _checks(
    rules: GateRules, version: Path, measured: list[_Measured], num: int, is_common: bool
) -> Iterator[Check]:
    yield Check(_ENOUGH, f"{num}", f"at least {rules.least_faces}", num >= rules.least_faces)
    if measured:
        yield from _checks_on_faces(rules, measured, is_common)
    error, found = reproduction_error(str(version))
    is_ours, code = compare_code(str(version))
    is_same = error is not None and error <= TOLERANCE
    yield Check(_LOADS, found, f"at most {TOLERANCE:.0e}", is_same)
    yield Check("code that mlflow.pyfunc runs", code, "this version's", is_ours)


def _checks_on_faces(rules: GateRules, measured: list[_Measured], is_common: bool) -> Iterator[Check]:
    own = measured[0]
    f1 = own.report.macro_f1
    yield Check(
        "macro-F1", str(f1), f"at least {rules.macro_f1_floor:g}", f1.value >= rules.macro_f1_floor
    )
    if len(measured) > 1:
        pairing = pair(own.predictions, measured[1].predictions)
        yield _against(rules, pairing, own, measured[1], is_common)
        yield _recalls(rules, pairing)
    ece = own.report.ece
    yield Check(
        "calibration error", str(ece), f"at most {rules.ece_ceiling:g}", ece.value <= rules.ece_ceiling
    )
    yield _slices(rules, own.slices)
    time = own.speed.milliseconds
    yield Check(
        "latency, one face",
        f"{time:.1f} ms",
        f"at most {rules.latency_ms:g} ms",
        time <= rules.latency_ms,
    )


def _against(
    rules: GateRules, pairing: Pairing, own: _Measured, other: _Measured, is_common: bool
) -> Check:
    difference = pairing.macro_f1
    saved_time = 1 - own.speed.milliseconds / other.speed.milliseconds
    saved_room = 1 - own.num_bytes / other.num_bytes
    low, sure = difference.low, f"better with {difference.probability:.0%}"
    if not np.isfinite(low):
        low, sure = -1.0, f"no interval: it needs {LEAST_FOR_INTERVAL} {pairing.units.noun}"
    found = f"{difference}, {sure}; latency {-saved_time:+.0%}, size {-saved_room:+.0%}"
    if is_common:
        required = f"interval above 0, or above -{rules.margin:g} and {rules.cheaper_by:.0%} cheaper"
        is_cheaper = max(saved_time, saved_room) >= rules.cheaper_by
        is_passed = low > 0 or (low >= -rules.margin and is_cheaper)
    else:  # only the version was selected on these faces, so it must lead by the margin
        required = f"interval above {rules.margin:g}, as these faces favour the new version"
        is_passed = low > rules.margin
    return Check("macro-F1 against the champion", found, required, is_passed)


def _recalls(rules: GateRules, pairing: Pairing) -> Check:
    compared = [row for row in pairing.classes if row.support >= rules.class_faces]
    worst = min(compared, key=lambda row: row.recall.value, default=None)
    required = f"no emotion of {rules.class_faces} faces loses {rules.recall_loss:g}"
    if worst is None:
        return Check("recall of each emotion", "too few faces of each", required, True)
    found = f"{worst.emotion} {worst.recall.value:+.3f} (n = {worst.support})"
    return Check("recall of each emotion", found, required, worst.recall.value >= -rules.recall_loss)


def _slices(rules: GateRules, slices: Slices) -> Check:
    worse = [part for part in slices.slices if part.is_significant and part.gap.value < 0]
    worst = min(worse, key=lambda part: part.gap.value, default=None)
    required = f"significantly worse by at most {rules.slice_gap_ceiling:g}"
    if worst is None:
        found = "none is significantly worse" if slices.num_tested else "too few people to test any"
        return Check("worst slice", found, required, True)
    found = f"{worst.trait} {worst.value} {worst.gap.value:+.3f} (n = {worst.num_faces})"
    return Check("worst slice", found, required, worst.gap.value >= -rules.slice_gap_ceiling)


def _record(decision: Decision, rules: GateRules, tracker: Tracker) -> None:
    """Logs the decision to the run and adds it to the version's tags and card."""
    tracker.log_json("gate.json", {**decision.as_dict(), "rules": asdict(rules)})
    tracker.log_facts(
        {
            "version": decision.version,
            "champion_before": decision.champion or "none",
            "decision": decision.outcome,
            "reason": decision.reason,
        }
    )
    tracker.ask(lambda: None)  # flush the run before the version links to it
    summary = f"{decision.outcome}: {decision.reason}"
    checks = {check.rule: [check.measured, check.required, check.is_passed] for check in decision.checks}
    record_decision(decision.version, summary, json.dumps(checks), tracker.run_id)
