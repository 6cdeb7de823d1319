"""Data check: the full report, and the fast check that every training run does."""

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
from fer_mlops.data.quality import class_balance, label_errors, leakage, shortcuts
from fer_mlops.data.quality.annotations import FACTS, label_findings
from fer_mlops.data.quality.baseline import SIDE, quick_probabilities
from fer_mlops.data.quality.class_balance import ClassSize
from fer_mlops.data.quality.duplicates import copy_findings
from fer_mlops.data.quality.faces import face_findings
from fer_mlops.data.quality.files import file_findings
from fer_mlops.data.quality.findings import Finding, Listing, worst_first
from fer_mlops.data.splits import Split, groups_of
from fer_mlops.data.table import FaceTable, listed
from fer_mlops.metrics.classification import FEW
from fer_mlops.metrics.identities import count, count_people
from fer_mlops.models.classifier import Classifier
from fer_mlops.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """Result of the data check of one data set."""

    name: str
    root: Path
    """Folder that the images of examples are relative to."""
    digest: str
    """Digest of the faces, labels and identities."""
    split: str
    seed: int
    num_faces: int
    num_people: int
    """Number of named people."""
    num_unnamed: int
    """Number of faces without a named person."""
    counts: dict[str, int]
    """Number of faces by emotion."""
    facts: tuple[str, ...]
    """Neutral facts about the data."""
    findings: tuple[Finding, ...]
    """Worst first."""
    listings: tuple[Listing, ...]
    """All measurements, whether or not they led to a finding."""
    verdict: str
    """Summary of how reliable scores on this data will be."""
    label_errors: str = ""
    """Csv of the doubted labels, to be reviewed; empty if labels were not checked."""

    def as_dict(self) -> dict[str, object]:
        """Returns the report as plain values, for JSON, without the csv."""
        values = dataclasses.asdict(self)
        del values["label_errors"]
        return {**values, "root": str(self.root)}

    def as_json(self) -> str:
        """Returns the report as JSON, without the csv."""
        return json.dumps(self.as_dict(), indent=1)


def check_data(
    table: FaceTable,
    config: DataConfig,
    seed: int,
    cache: Path,
    *,
    progress: Progress = no_progress,
    classifier: Classifier | None = None,
) -> DataReport:
    """Returns the full report on the data; reads every file.

    Args:
        table: Faces, best read with ``Request(is_strict=False)`` so that faults become notes.
        config: Data settings, with the split to check.
        seed: Seed of splits and folds.
        cache: Folder for decoded faces.
        progress: Called at the start of each stage.
        classifier: Source of the probabilities by which labels are doubted, instead of the quick
            baseline; it should not have been trained on these faces.
    """
    records = read_records(table, progress("reading files", len(table)))
    faults = [*label_findings(table.notes, config), *file_findings(table, records, config)]
    good = [row for row, record in enumerate(records) if not record.problem]
    if not good:
        return _DataCheck(table, config, seed).conclude(faults)
    seen, thumbnails = load_images(
        table.select(good), THUMBNAIL, cache, skip_bad=True, advance=progress("thumbnails", len(good))
    )
    # images that only training's decoder cannot read are left out, so rows no longer match
    record_of = dict(zip(table.paths, records, strict=True))
    check = _DataCheck(seen, config, seed, near_duplicate_clusters(thumbnails))
    check.divide()
    if config.identities == "auto" and config.source != "sample" and can_embed():  # sample is drawn
        embeddings = embed_faces(seen, cache, progress)
        check.findings += face_findings(seen, embeddings, link_faces(embeddings))
    check.compare([record_of[path] for path in seen.paths], progress)
    check.doubt(cache, classifier, progress)
    return check.conclude(faults)


def check_metadata(table: FaceTable, config: DataConfig, seed: int) -> DataReport:
    """Returns the report that needs no file to be read, in a second or two."""
    check = _DataCheck(table, config, seed)
    check.divide()
    return check.conclude(label_findings(table.notes, config))


def check_before_training(
    table: FaceTable, split: Split, config: DataConfig, clusters: NDArray[np.int64] | None = None
) -> tuple[Finding, ...]:
    """Returns the findings for a training run, worst first, without reading a file.

    ``clusters`` are equal numbers [n] for near duplicates; None if unknown.
    """
    findings = label_findings(table.notes, config)
    findings += copy_findings(table, [], clusters)
    findings += leakage.leak_findings(table, {split.kind: split}, split.kind, clusters)
    findings += class_balance.balance_findings(class_balance.class_sizes(table, config, split))
    return worst_first(findings)


class _DataCheck:
    """Data check in progress: each step adds findings and listings."""

    def __init__(
        self,
        table: FaceTable,
        config: DataConfig,
        seed: int,
        clusters: NDArray[np.int64] | None = None,
    ) -> None:
        self.table, self.config, self.seed, self.clusters = table, config, seed, clusters
        self.kind = leakage.split_kind(config)
        self.findings: list[Finding] = []
        self.copies: list[Finding] = []
        self.listings: list[Listing] = []
        self.split: Split | None = None
        self.csv = ""

    def divide(self) -> None:
        """Checks which people and photos are in train and test at once."""
        splits, failures = leakage.make_splits(self.table, self.config, self.seed, self.clusters)
        self.split = splits.get(self.kind)
        self.findings += failures
        self.findings += leakage.leak_findings(self.table, splits, self.kind, self.clusters)
        if splits:
            self.listings.append(leakage.leak_listing(self.table, splits, self.clusters))

    def compare(self, records: Sequence[FileRecord], progress: Progress) -> None:
        """Checks for shortcuts, which predict the emotion without the face, and for copies."""
        clues = shortcuts.clues_of(self.table, records)
        groups = groups_of(self.table, self.clusters)
        advance = progress("shortcuts", len(clues) + 1)
        found = shortcuts.find_shortcuts(self.table, clues, groups, self.seed, advance)
        self.findings += shortcuts.shortcut_findings(self.table, found)
        if found.scores:
            self.listings.append(shortcuts.shortcut_listing(found))
        self.copies = copy_findings(self.table, records, self.clusters)

    def doubt(self, cache: Path, classifier: Classifier | None, progress: Progress) -> None:
        """Checks for labels that are probably wrong."""
        groups = groups_of(self.table, self.clusters)
        # folds need two groups of people, and a classifier two emotions
        if len(np.unique(groups)) < 2 or len(np.unique(self.table.labels)) < 2:
            return
        side = classifier.image_size if classifier else SIDE
        advance = progress("faces for label errors", len(self.table))
        _, pixels = load_images(self.table, side, cache, advance=advance)
        labels = self.table.labels
        if classifier:
            doubted_by = "the given model"
            advance = progress("model for label errors", len(self.table))
            probabilities = label_errors.predicted_probabilities(classifier, pixels, advance)
        else:
            doubted_by = "a quick baseline that was trained on other people"
            advance = progress("baseline for label errors", len(self.table))
            probabilities = quick_probabilities(pixels, labels, groups, self.seed, advance)
        errors = label_errors.find_label_errors(labels, probabilities)
        self.findings += label_errors.label_error_findings(self.table, errors, doubted_by=doubted_by)
        self.listings.append(label_errors.label_error_listing(errors, doubted_by=doubted_by))
        self.csv = label_errors.label_errors_as_csv(self.table, errors.ranked)

    def conclude(self, faults: list[Finding]) -> DataReport:
        """Returns the report, with the sizes of emotions, the faults of files and a verdict."""
        table, sizes = self.table, class_balance.class_sizes(self.table, self.config, self.split)
        findings = worst_first(
            [*self.findings, *class_balance.balance_findings(sizes), *self.copies, *faults]
        )
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
            listings=(class_balance.balance_listing(sizes), *self.listings),
            verdict=give_verdict(findings, sizes, self.kind),
            label_errors=self.csv,
        )


def give_verdict(findings: Sequence[Finding], sizes: Sequence[ClassSize], split: str) -> str:
    """Returns a summary of how reliable scores on this data and kind of split will be."""
    kinds = {finding.kind: finding for finding in findings}
    sentences = []
    num_errors = sum(finding.severity == "error" for finding in findings)
    if num_errors:
        sentences.append(f"Training stops on this data: fix {count(num_errors, 'error')} first.")
    if "no-split" not in kinds:
        sentences.append(_precision(sizes, split))
    known = kinds.get("known-people")
    if known and known.severity == "warning":
        sentences.append("The scores will be too good: many people in test are also in train.")
    if "copies-across-parts" in kinds:
        sentences.append("Some test photos are also in train, which makes the scores too good.")
    if "shortcut" in kinds or "shortcuts-together" in kinds:
        sentences.append(
            "Part of any score may come from recognising the source of a picture, not the expression."
        )
    doubted = kinds.get("label-errors")
    if doubted:
        sentences.append(f"{doubted.what.partition(';')[0]}.")
    return " ".join(sentences)


def _precision(sizes: Sequence[ClassSize], split: str) -> str:
    num_test = sum(size.test_faces for size in sizes)
    effective = sum(size.effective for size in sizes)
    known = class_balance.interval_width(0.8, effective) / 2
    few = [size.emotion for size in sizes if size.faces and size.effective < FEW]
    which = "every emotion" if len(few) == sum(size.faces > 0 for size in sizes) else listed(few)
    but = f"; the scores of {which} will be mostly chance" if few else ""
    return (
        f"Scores on the {count(num_test, 'test face')} of the {split} split: an accuracy of 80% will "
        f"be known to ±{100 * known:.1f} points{but}."
    )
