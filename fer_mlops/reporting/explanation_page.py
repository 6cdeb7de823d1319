"""Explanation page: one self-contained HTML file without scripts; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fer_mlops.data.image_files import FaceImages
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.face_share import HALF_HEIGHT, HALF_WIDTH
from fer_mlops.evaluation.attribution.report import AttributionReport
from fer_mlops.evaluation.attribution.summary import maps_are_trustworthy
from fer_mlops.evaluation.explained_faces import ExplainedFaces
from fer_mlops.reporting.html import (
    Cell,
    Html,
    Mood,
    details,
    document,
    gallery,
    heading,
    paragraph,
    picture,
    section,
    shaded,
    table,
    text,
    tiles,
    uri_of,
)

MOST_PICTURES = 200
"""Largest number of faces per model on the page; the folder holds all."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images of the page, in the order of the models."""

    overlays: Sequence[Sequence[Image.Image]]
    sheet: Image.Image | None
    means: Sequence[Image.Image | None]
    curves: Sequence[Image.Image | None]


def render_page(looks: Sequence[ExplainedFaces], images: FaceImages, pictures: Pictures) -> str:
    """Returns the page: verdict, mean maps, measures, and every face."""
    judged = [(one, *maps_are_trustworthy(one.report)) for one in looks if one.report]
    mood: Mood = "" if not judged else "clean" if all(good for _, good, _ in judged) else "warning"
    verdict = "<br>".join(f"<b>{text(one.name)}</b>: {text(said)}." for one, _, said in judged)
    unmeasured = (
        "A bright place supported the emotion. Whether these maps can be trusted was not measured: "
        "use --measure."
    )
    num = len(images.paths)
    shown: list[tuple[str, str, Mood]] = [(f"{num:,}", "face" if num == 1 else "faces", "")]
    shown += [(one.family, "by Grad-CAM" if one.layer else "by occlusion", "") for one in looks]
    body: list[Html] = []
    if any(pictures.means):
        body.append(heading("On average", "one frame for all faces: the whole crop"))
        body += _cards(looks, pictures.means, "mean maps", _ABOUT_MEANS)
    if judged:
        body.append(heading("Measures", "whether the maps can be trusted"))
        body += _cards(looks, pictures.curves, "deletion, insertion and shuffled weights", "")
        body.append(_figures([(one, one.report) for one in looks if one.report]))
        body += [_hits(one) for one in looks]
    body.append(heading("Face by face"))
    if pictures.sheet:
        sheet = picture(uri_of(pictures.sheet), "faces beside the maps of both models")
        body.append(section("Side by side, where the models differ most first", sheet))
    body += [_faces(one, images, own) for one, own in zip(looks, pictures.overlays, strict=True)]
    body.append(_answers(looks, images))
    return document(
        "fer-mlops explain",
        "Explained predictions",
        lead=Html(tiles(shown) + paragraph(Html(verdict) if judged else unmeasured, "verdict")),
        body=body,
        foot=[*(one.described() for one in looks), _ABOUT_COLOURS],
        mood=mood,
    )


_ABOUT_COLOURS = "Colours run from dark (nothing) to yellow (the strongest place of that face)."
_ABOUT_MEANS = (
    "Mean map over the mean face of all faces that were explained for an emotion, scaled to its own "
    "strongest place. The dotted ellipse is the one that is measured."
)


def _cards(
    looks: Sequence[ExplainedFaces], shown: Sequence[Image.Image | None], said: str, about: str
) -> list[Html]:
    return [
        section(one.name, paragraph(about), picture(uri_of(image), f"{said} of {one.name}"))
        for one, image in zip(looks, shown, strict=True)
        if image
    ]


def _figures(reports: Sequence[tuple[ExplainedFaces, AttributionReport]]) -> Html:
    """Returns all measures as a table: one column per model, and a last column with reference values."""
    ellipse = f"half axes {HALF_WIDTH} and {HALF_HEIGHT} of the crop"
    even, by_chance = reports[0][1].inside_uniform, "50 % by chance"
    areas = ", ".join(f"{report.removal.random_area:.3f}" for _, report in reports)
    measured: list[list[Cell]] = [
        [
            report.num_faces,
            report.num_blank,
            report.inside,
            report.removal.deletion_area,
            report.removal.insertion_area,
            Html(f"{report.removal.deletion_wins:.0%}"),
            Html(f"{report.removal.insertion_wins:.0%}"),
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
    columns = ["measure", *(one.name for one, _ in reports), "reference"]
    return section("All measures", table(columns, rows))


def _hits(one: ExplainedFaces) -> Html:
    hits = one.report.hits if one.report else None
    if hits is None:
        return Html("")
    rows: list[list[Cell]] = [
        [emotion, num, shaded(f"{peak:.2f}", max(peak - chance, 0) / (1 - chance)), chance]
        for emotion, (num, peak, chance) in hits.by_emotion.items()
    ]
    rows.append(["all", hits.num_faces, hits.peak, hits.peak_by_chance])
    about = (
        "Share of the drawn faces whose strongest place lies where the emotion was drawn, beside the "
        "share of the picture that those regions cover. Peaks of faces with another emotion: "
        f"{hits.peak_of_others:.2f}. Mean share of the whole map inside: {hits.mass:.2f}."
    )
    columns = ["emotion", "faces", "peak inside", "by chance"]
    return section(f"On the action units: {one.name}", paragraph(about), table(columns, rows))


def _faces(one: ExplainedFaces, images: FaceImages, overlays: Sequence[Image.Image]) -> Html:
    shown = []
    for row, image in enumerate(images.paths[:MOST_PICTURES]):
        emotion, confidence = one.answer(row)
        explained = EMOTIONS[one.targets[row]]
        said = f"{emotion} {confidence:.0%}" + (f"; map: {explained}" if explained != emotion else "")
        shown.append((uri_of(overlays[row]), str(image), said))
    left = len(images.paths) - len(shown)
    more = paragraph(f"… and {left:,} more, in the folder.") if left else Html("")
    return section(one.described(), gallery(shown), more)


def _answers(looks: Sequence[ExplainedFaces], images: FaceImages) -> Html:
    rows: list[list[Cell]] = []
    for row, image in enumerate(images.paths):
        cells: list[Cell] = [str(image)]
        for one in looks:
            emotion, confidence = one.answer(row)
            cells += [Html(text(emotion)), confidence]
        rows.append(cells)
    columns = ["image", *(column for one in looks for column in (one.name, "confidence"))]
    return details(f"All {len(rows):,} predictions", table(columns, rows))
