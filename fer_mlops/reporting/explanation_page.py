"""Explanation page: one self-contained HTML file without scripts; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.data.image_files import FaceImages
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.face_share import HALF_HEIGHT, HALF_WIDTH
from fer_mlops.evaluation.attribution.report import AttributionReport, maps_are_trustworthy
from fer_mlops.evaluation.explained_faces import ExplainedFaces
from fer_mlops.reporting.evaluation_plots import face_and_maps
from fer_mlops.reporting.html import Cell, Mood, Picture, Tile, render, shaded, svg_of

MOST_PICTURES = 200
"""Largest number of faces on the page; the folder holds all."""
_ABOUT_COLOURS = "Colours run from dark (nothing) to yellow (the strongest place of that face)."


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images and figures of the page, in the order of the models."""

    overlays: Sequence[Sequence[Image.Image]]
    order: Sequence[int]
    """Faces in the order in which the page shows them."""
    means: Sequence[Figure | None]
    curves: Sequence[Figure | None]


def render_page(explained: Sequence[ExplainedFaces], images: FaceImages, pictures: Pictures) -> str:
    """Returns the page: verdict, mean maps, measures, and every face."""
    measured = [(model, model.report) for model in explained if model.report]
    verdicts = [(model.name, *maps_are_trustworthy(report)) for model, report in measured]
    mood: Mood = "" if not verdicts else "clean" if all(good for _, good, _ in verdicts) else "warning"
    shown = pictures.order[:MOST_PICTURES]
    return render(
        "explanation.html",
        command="fer-mlops explain",
        title="Explained predictions",
        mood=mood,
        numbers=_tiles(explained, len(images.paths)),
        verdicts=[(name, summary) for name, _, summary in verdicts],
        explained=explained,
        has_means=any(pictures.means),
        means=_charts(explained, pictures.means, "mean maps"),
        curves=_charts(explained, pictures.curves, "deletion, insertion and shuffled weights"),
        measures=_measures(measured) if measured else None,
        drawn=[_hits(model.name, report) for model, report in measured if report.hits],
        faces=[_face(explained, images, pictures.overlays, row) for row in shown],
        num_left=len(images.paths) - len(shown),
        predictions=_predictions(explained, images),
        facts=[*(model.described() for model in explained), _ABOUT_COLOURS],
    )


def _tiles(explained: Sequence[ExplainedFaces], num: int) -> list[Tile]:
    faces: Tile = (f"{num:,}", "face" if num == 1 else "faces", "")
    return [
        faces,
        *((model.family, "by Grad-CAM" if model.layer else "by occlusion", "") for model in explained),
    ]


def _charts(
    explained: Sequence[ExplainedFaces], figures: Sequence[Figure | None], title: str
) -> list[tuple[ExplainedFaces, str]]:
    return [
        (model, svg_of(figure, f"{title} of {model.name}") if figure else "")
        for model, figure in zip(explained, figures, strict=True)
    ]


def _measures(reports: Sequence[tuple[ExplainedFaces, AttributionReport]]) -> dict[str, object]:
    """Returns all measures as a table: one column per model, and a last column with reference values."""
    ellipse = f"half axes {HALF_WIDTH} and {HALF_HEIGHT} of the crop"
    even, by_chance = reports[0][1].inside_uniform, "50% by chance"
    areas = ", ".join(f"{report.removal.random_area:.3f}" for _, report in reports)
    measured: list[list[Cell]] = [
        [
            report.num_faces,
            report.num_blank,
            report.inside,
            report.removal.deletion_area,
            report.removal.insertion_area,
            f"{report.removal.deletion_wins:.0%}",
            f"{report.removal.insertion_wins:.0%}",
            report.sanity.rank_correlation if report.sanity else None,
            report.sanity.similarity if report.sanity else None,
        ]
        for _, report in reports
    ]
    named = (
        ("faces measured", ""),
        ("of these with a blank map", ""),
        ("share inside the face ellipse", f"{even:.3f} for an even map; {ellipse}"),
        ("area under deletion", f"lower than in random order: {areas}"),
        ("area under insertion", f"higher than in random order: {areas}"),
        ("faces on which deletion beats random order", by_chance),
        ("faces on which insertion beats random order", by_chance),
        ("rank correlation, weights shuffled", "0: nothing is left; 1: nothing changes"),
        ("SSIM, weights shuffled", "1: nothing changes"),
    )
    rows = [[name, *own, held] for (name, held), *own in zip(named, *measured, strict=True)]
    return {"columns": ["measure", *(model.name for model, _ in reports), "reference"], "rows": rows}


def _hits(name: str, report: AttributionReport) -> dict[str, object]:
    hits = report.hits
    assert hits, "the caller checks that the faces were drawn"
    rows: list[list[Cell]] = [
        [emotion, num, shaded(f"{peak:.2f}", max(peak - chance, 0) / (1 - chance)), chance]
        for emotion, (num, peak, chance) in hits.by_emotion.items()
    ]
    rows.append(["all", hits.num_faces, hits.peak, hits.peak_by_chance])
    return {"name": name, "rows": rows, "peak_of_others": hits.peak_of_others, "mass": hits.mass}


def _face(
    explained: Sequence[ExplainedFaces],
    images: FaceImages,
    overlays: Sequence[Sequence[Image.Image]],
    row: int,
) -> Picture:
    captions = []
    for number, model in enumerate(explained, start=1):
        emotion, confidence = model.prediction(row)
        target = EMOTIONS[model.targets[row]]
        caption = f"{emotion} {confidence:.0%}" + (f"; map: {target}" if target != emotion else "")
        captions.append(caption if len(explained) == 1 else f"map {number}: {caption}")
    maps = [own[row] for own in overlays]
    return face_and_maps(explained[0].pixels[row], maps, captions, str(images.paths[row]))


def _predictions(explained: Sequence[ExplainedFaces], images: FaceImages) -> dict[str, object]:
    rows: list[list[Cell]] = [
        [str(image), *(cell for model in explained for cell in model.prediction(row))]
        for row, image in enumerate(images.paths)
    ]
    columns = ["image", *(column for model in explained for column in (model.name, "confidence"))]
    return {"columns": columns, "rows": rows}
