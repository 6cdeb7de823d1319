"""The whole examination, and the fast one that every training run gets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_mlops.config import DataConfig
from fer_mlops.data.duplicates import THUMBNAIL, near_duplicate_clusters
from fer_mlops.data.face_identities import can_embed, embed_faces, link_faces
from fer_mlops.data.file_info import FileRecord, read_records
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.quality.annotations import FACTS, label_findings
from fer_mlops.data.quality.baseline import SIDE, quick_probabilities
from fer_mlops.data.quality.class_balance import balance_findings, balance_listing, class_sizes
from fer_mlops.data.quality.duplicates import copy_findings
from fer_mlops.data.quality.faces import face_findings
from fer_mlops.data.quality.files import file_findings
from fer_mlops.data.quality.findings import Finding, Listing, worst_first
from fer_mlops.data.quality.label_errors import (
    Judge,
    find_label_errors,
    judged_probabilities,
    label_error_findings,
    label_error_listing,
    label_errors_as_csv,
)
from fer_mlops.data.quality.leakage import leak_findings, leak_listing, make_splits, split_kind
from fer_mlops.data.quality.shortcuts import (
    clues_of,
    find_shortcuts,
    shortcut_findings,
    shortcut_listing,
)
from fer_mlops.data.quality.verdict import give_verdict
from fer_mlops.data.splits import Split, groups_of
from fer_mlops.data.table import FaceTable
from fer_mlops.metrics.identities import count_people
from fer_mlops.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What the doctor has to say of one data set."""

    name: str
    root: Path
    """Where the images of examples lie."""
    digest: str
    """Of the faces, labels and people."""
    split: str
    seed: int
    num_faces: int
    num_people: int
    """How many are named."""
    num_unnamed: int
    """Faces whose person nothing names."""
    counts: dict[str, int]
    """Faces by emotion."""
    facts: tuple[str, ...]
    """What is known of the data that is neither good nor bad."""
    findings: tuple[Finding, ...]
    """Worst first."""
    listings: tuple[Listing, ...]
    """What was measured, whether or not it led to a finding."""
    verdict: str
    """What the numbers will be worth."""
    label_errors: str = ""
    """The doubted labels as a csv to be reviewed; empty where none were looked for."""

    def as_json(self) -> str:
        """Returns the examination as JSON, without the csv."""
        values = dataclasses.asdict(self)
        del values["label_errors"]
        return json.dumps({**values, "root": str(self.root)}, indent=1)


def check_data(
    table: FaceTable,
    config: DataConfig,
    seed: int,
    cache: Path,
    *,
    progress: Progress = no_progress,
    judge: Judge | None = None,
) -> DataReport:
    """Returns everything there is to say about the data; every file is read.

    Args:
        table: The faces, best read with ``Request(is_strict=False)`` so that faults become notes.
        config: The split they are meant for.
        seed: Of splits and folds.
        cache: Folder for decoded faces.
        progress: Told of each stage.
        judge: Whose probabilities doubt labels, in place of the quick baseline's; it should not have
            been trained on these faces.

    Raises:
        DataError: The cache cannot be written.
    """
    records = read_records(table, progress("reading files", len(table)))
    faults = [*label_findings(table.notes, config), *file_findings(table, records, config)]
    good = [row for row, record in enumerate(records) if not record.problem]
    if not good:
        return _Visit(table, config, seed).conclude(faults)
    seen, thumbnails = load_images(
        table.select(good), THUMBNAIL, cache, skip_bad=True, advance=progress("thumbnails", len(good))
    )
    record_of = dict(zip(table.paths, records, strict=True))
    visit = _Visit(seen, config, seed, near_duplicate_clusters(thumbnails))
    visit.divide()
    if config.identities == "auto" and config.source != "sample" and can_embed():  # it is drawn
        visit.recognise(cache, progress)
    visit.compare([record_of[path] for path in seen.paths], progress)
    visit.doubt(cache, judge, progress)
    return visit.conclude(faults)


def check_metadata(table: FaceTable, config: DataConfig, seed: int) -> DataReport:
    """Returns what can be said without reading a file, in a second or two."""
    visit = _Visit(table, config, seed)
    visit.divide()
    return visit.conclude(label_findings(table.notes, config))


def check_before_training(
    table: FaceTable, split: Split, config: DataConfig, clusters: NDArray[np.int64] | None = None
) -> tuple[Finding, ...]:
    """Returns what a training run should know of its data, worst first, without reading a file.

    Args:
        table: The faces.
        split: As the run uses it.
        config: As the run has it.
        clusters: Equal numbers [n] for near duplicates; None if unknown.
    """
    findings = label_findings(table.notes, config)
    findings += copy_findings(table, [], clusters)
    findings += leak_findings(table, {split.kind: split}, split.kind, clusters)
    findings += balance_findings(class_sizes(table, config, split))
    return worst_first(findings)


class _Visit:
    """One examination on its way: each step adds findings and listings.

    What spoils numbers most is told first, so that findings on rows and files come late.
    """

    def __init__(
        self,
        table: FaceTable,
        config: DataConfig,
        seed: int,
        clusters: NDArray[np.int64] | None = None,
    ) -> None:
        self.table, self.config, self.seed, self.clusters = table, config, seed, clusters
        self.kind = split_kind(config)
        self.findings: list[Finding] = []
        self.copies: list[Finding] = []
        self.listings: list[Listing] = []
        self.split: Split | None = None
        self.csv = ""

    def divide(self) -> None:
        """Looks at whom a split has in train and test at once."""
        splits, failures = make_splits(self.table, self.config, self.seed, self.clusters)
        self.split = splits.get(self.kind)
        self.findings += failures
        self.findings += leak_findings(self.table, splits, self.kind, self.clusters)
        if splits:
            self.listings.append(leak_listing(self.table, splits, self.clusters))

    def recognise(self, cache: Path, progress: Progress) -> None:
        """Looks where faces tell other people apart than names do."""
        embeddings = embed_faces(self.table, cache, progress)
        self.findings += face_findings(self.table, embeddings, link_faces(embeddings))

    def compare(self, records: Sequence[FileRecord], progress: Progress) -> None:
        """Looks for what tells the emotion beside the face, and for copies."""
        clues = clues_of(self.table, records)
        groups = groups_of(self.table, self.clusters)
        advance = progress("shortcuts", len(clues) + 1)
        shortcuts = find_shortcuts(self.table, clues, groups, self.seed, advance)
        self.findings += shortcut_findings(self.table, shortcuts)
        if shortcuts.scores:
            self.listings.append(shortcut_listing(shortcuts))
        self.copies = copy_findings(self.table, records, self.clusters)

    def doubt(self, cache: Path, judge: Judge | None, progress: Progress) -> None:
        """Looks for labels that are probably wrong."""
        groups = groups_of(self.table, self.clusters)
        if len(np.unique(groups)) < 2 or len(np.unique(self.table.labels)) < 2:
            return
        side = judge.image_size if judge else SIDE
        advance = progress("faces for label errors", len(self.table))
        _, pixels = load_images(self.table, side, cache, advance=advance)
        labels = self.table.labels
        if judge:
            judged_by = "the given model"
            advance = progress("model for label errors", len(self.table))
            probabilities = judged_probabilities(judge, pixels, advance)
        else:
            judged_by = "a quick baseline that learned from other people"
            advance = progress("baseline for label errors", len(self.table))
            probabilities = quick_probabilities(pixels, labels, groups, self.seed, advance)
        errors = find_label_errors(labels, probabilities)
        self.findings += label_error_findings(self.table, errors, judged_by=judged_by)
        self.listings.append(label_error_listing(errors, judged_by=judged_by))
        self.csv = label_errors_as_csv(self.table, errors.ranked)

    def conclude(self, faults: list[Finding]) -> DataReport:
        """Returns what was found, with the sizes of emotions, the faults of files and a verdict."""
        table, sizes = self.table, class_sizes(self.table, self.config, self.split)
        found = [*self.findings, *balance_findings(sizes), *self.copies, *faults]
        findings = worst_first(found)
        num_people, num_unnamed = count_people(table.identities)
        return DataReport(
            name=table.name,
            root=table.root,
            digest=table.digest(),
            split=self.kind,
            seed=self.seed,
            num_faces=len(table),
            num_people=num_people,
            num_unnamed=num_unnamed,
            counts=table.counts(),
            facts=tuple(note.text for note in table.notes if note.kind in FACTS),
            findings=findings,
            listings=(balance_listing(sizes), *self.listings),
            verdict=give_verdict(findings, sizes, self.kind),
            label_errors=self.csv,
        )
