"""Shortcuts: image properties other than the expression that predict the emotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from fer_mlops.data.file_info import FileRecord
from fer_mlops.data.quality.baseline import Folds, deal_folds
from fer_mlops.data.quality.findings import Cell, Example, Finding, Listing
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS, normalise_emotion
from fer_mlops.errors import DataError
from fer_mlops.progress import Advance, ignore_progress

Array = NDArray[np.float64]

_FEWEST = 10  # faces of an emotion below which it is not tested
_MOST = 5000  # most faces of each emotion that are used; more would not change the digits shown
_MOST_VALUES = 30  # values of a column that get a feature of their own; rarer ones share one
# least gain over chance, as a share of the largest possible gain, for a finding: for one emotion against
# the rest; for all emotions, where the mean hides the few that are predicted well
_MATTERS, _MATTERS_FOR_ALL = 0.3, 0.15
_RISK = 0.01  # probability of a false finding, over all tests on a data set
_LASTING = ("sharpness", "brightness")  # clues that remain in a gray image of fixed size


@dataclass(frozen=True, slots=True)
class ClueScore:
    """Accuracy of a prediction from a clue, on people not used for training."""

    value: float
    """Balanced accuracy."""
    low: float
    """Lower bound, corrected for the number of tests on this data set."""
    chance: float

    @property
    def is_shortcut(self) -> bool:
        matters = _MATTERS if self.chance == 0.5 else _MATTERS_FOR_ALL
        return self.low > self.chance and self.value - self.chance >= matters * (1 - self.chance)


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """Scores of all clues; empty if there are too few faces or people."""

    emotions: tuple[str, ...] = ()
    scores: Mapping[str, tuple[ClueScore, ...]] = field(default_factory=dict)
    """Scores by clue: one for each of ``emotions`` against the rest, then one for all emotions."""
    together: ClueScore | None = None
    """Score of predicting the emotion from all clues together."""


def clues_of(table: FaceTable, records: Sequence[FileRecord]) -> dict[str, Array]:
    """Returns the clues, [n, features] by name: properties that might predict the emotion and differ.

    ``records`` are those of the table's files, row for row, all readable.
    """

    def measured(*names: str) -> list[Array]:
        return [np.array([getattr(r, name) for r in records], dtype=np.float64) for name in names]

    width, height, size = measured("width", "height", "num_bytes")
    columns = {
        "colour": measured("chroma"),
        "resolution": [width, height, width / height],
        "file size": [size, size / (width * height)],
        "file format": _one_hot(np.array([record.format for record in records], dtype=np.str_)),
        "sharpness": measured("sharpness"),
        "brightness": measured("brightness", "contrast"),
        "source": _one_hot(table.sources),
    }
    for name, texts in table.columns.items():
        if not _says_emotion(texts):
            columns[name] = _numbers(texts) or _one_hot(texts)
    clues = {name: np.stack(values, axis=1) for name, values in columns.items() if values}
    return {name: values for name, values in clues.items() if np.ptp(values, axis=0).any()}


def _one_hot(texts: NDArray[np.str_]) -> list[Array]:
    values, sizes = np.unique(texts, return_counts=True)
    common = values[np.argsort(-sizes, kind="stable")][:_MOST_VALUES]
    return [(texts == value).astype(np.float64) for value in common]


def _numbers(texts: NDArray[np.str_]) -> list[Array]:
    """Returns the texts as one numeric feature if they are numbers with many values; else no feature."""
    if len(np.unique(texts)) <= _MOST_VALUES:
        return []
    try:
        numbers = texts.astype(np.float64)
    except ValueError:
        return []
    return [np.nan_to_num(numbers)]


def _says_emotion(texts: NDArray[np.str_]) -> bool:
    """Returns whether a column repeats the label under another name."""

    def is_emotion(text: str) -> bool:
        try:
            normalise_emotion(text)
        except DataError:
            return False
        return True

    values = np.unique(texts)[: 2 * _MOST_VALUES]
    return sum(is_emotion(str(value)) for value in values) > len(values) / 2


def find_shortcuts(
    table: FaceTable,
    clues: Mapping[str, Array],
    groups: NDArray[np.int64],
    seed: int,
    advance: Advance = ignore_progress,
) -> Shortcuts:
    """Returns how well each clue, and all together, predict the emotion on unseen people.

    ``groups`` are equal numbers [n] for faces that must not be in train and test at once.
    """
    generator = np.random.default_rng(seed)
    every = [np.flatnonzero(table.labels == label) for label in range(len(EMOTIONS))]
    taken = [np.sort(generator.permutation(rows)[:_MOST]) for rows in every if len(rows) >= _FEWEST]
    if len(taken) < 2 or not clues:
        return Shortcuts()
    rows = np.sort(np.concatenate(taken))
    labels, groups = table.labels[rows], groups[rows]
    present = np.unique(labels)
    folds = deal_folds(labels, groups, seed)
    if not folds:
        return Shortcuts()
    num_tests = (len(clues) + 1) * (len(present) + 1)
    targets = [*(labels == label for label in present), labels]
    # shallow, with large leaves: a deep tree would learn single faces, and shortcuts need none
    settings = {"min_samples_leaf": 20, "class_weight": "balanced", "random_state": 0}
    tree = DecisionTreeClassifier(max_depth=4, **settings)
    forest = RandomForestClassifier(50, max_depth=6, **settings)
    scores = {}
    for name, values in clues.items():
        scores[name] = tuple(
            _score(target, _predict(tree, values[rows], target, folds), groups, num_tests)
            for target in targets
        )
        advance(1)
    everything = np.concatenate([values[rows] for values in clues.values()], axis=1)
    together = _score(labels, _predict(forest, everything, labels, folds), groups, num_tests)
    advance(1)
    return Shortcuts(tuple(EMOTIONS[label] for label in present), scores, together)


def _predict(
    model: DecisionTreeClassifier | RandomForestClassifier,
    values: Array,
    target: NDArray[np.generic],
    folds: Folds,
) -> NDArray[np.generic]:
    predictions = np.zeros_like(target)
    for kept, held in folds:
        predictions[held] = model.fit(values[kept], target[kept]).predict(values[held])
    return predictions


def _score(
    target: NDArray[np.generic],
    predictions: NDArray[np.generic],
    groups: NDArray[np.int64],
    num_tests: int,
) -> ClueScore:
    """Returns the balanced accuracy and its lower bound; faces of one person form a cluster."""
    recalls, variance = [], 0.0
    classes = np.unique(target)
    for value in classes:
        own = target == value
        right = (predictions[own] == value).astype(np.float64)
        recall = right.mean()
        _, person = np.unique(groups[own], return_inverse=True)
        num_people = int(person.max()) + 1
        off = np.bincount(person, right - recall)
        # The variance of a ratio over clusters, at least that of a share over as many independent
        # people, with one right and one wrong added (Agresti and Coull, 1998).
        smoothed = (recall * num_people + 1) / (num_people + 2)
        least = smoothed * (1 - smoothed) / (num_people + 2)
        recalls.append(recall)
        variance += max((off**2).sum() / own.sum() ** 2, least)
    score = float(np.mean(recalls))
    sure = norm.isf(_RISK / num_tests)
    error = float(np.sqrt(variance)) / len(classes)
    return ClueScore(score, score - float(sure) * error, 1 / len(classes))


def shortcut_findings(table: FaceTable, shortcuts: Shortcuts) -> list[Finding]:
    """Returns a finding for each emotion that a clue predicts, best predicted first, and one for all
    clues together."""
    ranked = []
    for number, emotion in enumerate(shortcuts.emotions):
        scores = {name: of_all[number] for name, of_all in shortcuts.scores.items()}
        if any(score.is_shortcut for score in scores.values()):
            best = max(score.value for score in scores.values())
            ranked.append((best, _single_finding(table, emotion, scores)))
    findings = [finding for _, finding in sorted(ranked, key=lambda pair: -pair[0])]
    if shortcuts.together and shortcuts.together.is_shortcut:
        findings.append(_together_finding(shortcuts.together, shortcuts))
    return findings


def _single_finding(table: FaceTable, emotion: str, scores: Mapping[str, ClueScore]) -> Finding:
    order = sorted(scores, key=lambda name: -scores[name].value)
    name, *others = [name for name in order if scores[name].is_shortcut]
    also = "; also by " + ", ".join(f"{other} ({scores[other].value:.2f})" for other in others)
    label = EMOTIONS.index(emotion)
    inside, outside = np.flatnonzero(table.labels == label), np.flatnonzero(table.labels != label)
    # spread over the table, which is sorted by path: neighbours often show one person
    shown = [rows[np.linspace(0, len(rows) - 1, 6).astype(int)] for rows in (inside, outside)]
    seen = [f"{clue} ({scores[clue].value:.2f})" for clue in _LASTING if clue in scores]
    remains = f", which still contains {' and '.join(seen)}" if seen else ""
    return Finding(
        kind="shortcut",
        severity="warning",
        what=(
            f"{name} alone predicts {emotion} against the rest (balanced accuracy "
            f"{scores[name].value:.2f}, chance 0.50){also if others else ''}"
        ),
        consequence="a model can learn where a picture comes from instead of what the face shows",
        remedy=(
            f"collect {emotion} and the rest from the same sources; a model of fer_mlops sees a gray "
            f"image of fixed size{remains}"
        ),
        num=len(others) + 1,
        examples=tuple(
            Example(table.paths[row], EMOTIONS[table.labels[row]]) for rows in shown for row in rows
        ),
    )


def _together_finding(score: ClueScore, shortcuts: Shortcuts) -> Finding:
    return Finding(
        kind="shortcuts-together",
        severity="warning",
        what=(
            "all clues together predict the emotion without the face, with balanced accuracy "
            f"{score.value:.2f} (chance {score.chance:.2f})"
        ),
        consequence="a lower score shows nothing about expressions; of a higher one only a part does",
        remedy="report it beside the model's own balanced accuracy",
        num=len(shortcuts.emotions),
    )


def shortcut_listing(shortcuts: Shortcuts) -> Listing:
    """Returns the scores as a table, clues by emotions."""
    chances = (0.5,) * len(shortcuts.emotions) + (1 / max(len(shortcuts.emotions), 1),)
    rows: list[tuple[Cell, ...]] = [
        (name, *(round(score.value, 4) for score in scores)) for name, scores in shortcuts.scores.items()
    ]
    if shortcuts.together:
        none = (-1,) * len(shortcuts.emotions)
        rows.append(("all together", *none, round(shortcuts.together.value, 4)))
    untested = [emotion for emotion in EMOTIONS if emotion not in shortcuts.emotions]
    few = f" Not tested, with fewer than {_FEWEST} faces: {', '.join(untested)}." if untested else ""
    return Listing(
        title="Shortcuts to the emotion",
        about=(
            "Balanced accuracy of predicting each emotion against the rest, and among all emotions, "
            "from one property other than the expression; decision tree (forest for all together), "
            f"cross-validated with people kept apart.{few}"
        ),
        columns=("clue", *shortcuts.emotions, "all emotions"),
        rows=tuple(rows),
        chances=(0.0, *chances),
    )
