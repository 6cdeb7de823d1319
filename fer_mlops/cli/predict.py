"""Commands that use a trained model: predict, score, export."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_mlops.cli.commands import Choice, Command, option, with_options
from fer_mlops.cli.options import is_chosen, model_option
from fer_mlops.cli.result import Result, with_json
from fer_mlops.errors import ConfigError, DataError, printable
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.models.calibration import OperatingPoint
    from fer_mlops.serving.image_inputs import Unread
    from fer_mlops.serving.image_predictions import NoFace, PredictionRow
    from fer_mlops.serving.onnx_export import Exported
    from fer_mlops.serving.output_formats import Format

NAMED_MODEL = model_option(
    "Model to use: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID, a folder, or an .onnx file."
)
POINT = (
    click.option(
        "--balanced",
        "operating_point",
        flag_value="balanced",
        help="Operating point that favours rare emotions.",
    ),
    click.option(
        "--natural",
        "operating_point",
        flag_value="natural",
        help="Operating point with the highest accuracy.",
    ),
    click.option(
        "--threshold",
        type=float,
        metavar="T",
        help="Confidence from which a prediction counts as sure, 0 to 1.",
    ),
)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops predict photos/ --format csv",
        "fer-mlops predict party.jpg --faces --out seen",
    ),
)
@click.argument("images", nargs=-1, required=True)
@with_options(
    NAMED_MODEL,
    *POINT,
    option("--faces", is_flag=True, section="Images", help="Detect the faces in whole photos first."),
    option(
        "--every",
        type=click.FloatRange(min=0, min_open=True),
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="Seconds between two frames of a video or camera.",
    ),
    option(
        "--format",
        "form",
        type=Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        section="Output",
        help="Output format; json prints one object per line.",
    ),
    option("--explain", is_flag=True, help="Write a heat map of each prediction to --out."),
    option(
        "--out",
        default="",
        metavar="FOLDER",
        help="Folder for heat maps and for photos with face boxes.",
    ),
)
@with_json()
def predict(
    images: tuple[str, ...],
    model: str,
    form: str,
    faces: bool,
    explain: bool,
    operating_point: OperatingPoint | None,
    threshold: float | None,
    out: str,
    every: float,
) -> Result:
    """Predict the emotion in images and videos.

    IMAGES are files, folders or videos; webcam, or webcam:1 for the second camera; or - for standard
    input, which is one image, or one path per line. Unreadable images are reported on standard error;
    the others are still predicted, and the exit status is 1.
    """
    from fer_mlops.cli.output.screen import warn_of_drawn_faces
    from fer_mlops.serving.image_inputs import camera_of, queries_of
    from fer_mlops.serving.image_predictions import ImagePredictor
    from fer_mlops.serving.output_formats import FORMATS, fields_of
    from fer_mlops.serving.predictions import NEVER_SURE
    from fer_mlops.serving.predictor import calibration_at, load

    if explain and not is_chosen(out):
        raise ConfigError("--explain writes heat maps: name a folder for them with --out")
    if is_chosen(out) and not (explain or faces):
        raise ConfigError("--out has no effect without --faces or --explain")
    is_live = any(camera_of(word) is not None for word in images)
    if click.get_current_context().params["as_json"] and (is_live or form != "table"):
        raise ConfigError(
            "--json prints one list after the last image; --format json prints a line for each, also of "
            "a camera: give one"
        )
    predictor = load(model)
    warn_of_drawn_faces(model)
    calibration = calibration_at(
        predictor.classifier.calibration, operating_point or "default", threshold
    )
    image_predictor = ImagePredictor(
        predictor=predictor,
        calibration=calibration,
        finds_faces=faces,
        explains=explain,
        out=Path(out) if is_chosen(out) else None,
        is_live=is_live,
    )
    rows = _Reported(image_predictor.predict(queries_of(images, sys.stdin.buffer, every)))

    def status() -> int:
        if rows.num_predicted and not calibration.is_ever_sure:
            click.echo(f"fer-mlops: {NEVER_SURE}; --threshold sets one", err=True)
        return 1 if rows.num_bad else 0

    return Result(map(fields_of, rows), lambda: _print_rows(rows, FORMATS[form], faces), status)


class _Reported:
    """Iterator over predictions; reports on standard error why an image has none."""

    def __init__(self, rows: Iterator[PredictionRow | NoFace | Unread | DataError]) -> None:
        self.rows = rows
        self.num_predicted = self.num_bad = 0

    def __iter__(self) -> Iterator[PredictionRow]:
        from fer_mlops.serving.image_predictions import PredictionRow

        for row in self.rows:
            if isinstance(row, PredictionRow):
                self.num_predicted += 1
                yield row
            else:
                self.num_bad += isinstance(row, DataError)
                click.echo(f"fer-mlops: {printable(str(row))}", err=True)


def _print_rows(rows: Iterable[PredictionRow], form: Format, finds_faces: bool) -> None:
    """Prints each prediction as soon as it is made."""
    is_shown = sys.stdout.isatty()  # a program needs the unescaped names
    if form.is_for_programs and not is_shown and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    if header := form.header(finds_faces):
        click.echo(header)
    for row in rows:
        line = form.line(row)
        click.echo(printable(line) if is_shown else line, color=True)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops score photos/ --out predictions",
        "fer-mlops score faces.parquet --column jpeg --engine spark --out predictions",
    ),
)
@click.argument("source", type=click.Path(path_type=Path))
@with_options(
    NAMED_MODEL,
    *POINT,
    option(
        "--column",
        default="image",
        show_default=True,
        section="Images",
        help="Table column of image paths or image bytes.",
    ),
    option(
        "--engine",
        type=Choice(["local", "spark"]),
        default="local",
        show_default=True,
        help="Run on all cores of this machine, or on Spark.",
    ),
    option(
        "--out",
        required=True,
        type=click.Path(path_type=Path),
        section="Output",
        help="Folder for the predictions.",
    ),
    option(
        "--rows-per-file", type=int, default=4096, show_default=True, help="Rows in each Parquet file."
    ),
)
@with_json()
def score(
    source: Path,
    model: str,
    out: Path,
    engine: str,
    column: str,
    rows_per_file: int,
    operating_point: OperatingPoint | None,
    threshold: float | None,
) -> Result:
    """Predict many images into Parquet files.

    SOURCE is a folder, a CSV file or a Parquet file. Unreadable images become rows with an error. Run
    the same command again to resume a stopped job.
    """
    from fer_mlops.cli.output.screen import print_next, progress_bars
    from fer_mlops.serving.batch.job import Job, content_digest
    from fer_mlops.serving.batch.local import score_locally
    from fer_mlops.serving.batch.source import open_source
    from fer_mlops.serving.batch.spark import score_with_spark
    from fer_mlops.serving.predictor import check_threshold
    from fer_mlops.tracking.model_names import ModelUri
    from fer_mlops.tracking.registry import resolve_model_uri
    from fer_mlops.tracking.store import check_store

    check_threshold(threshold)
    if ModelUri.parse(model).is_stored:
        check_store()
    name = resolve_model_uri(model)
    rows = open_source(source, column)
    job = Job(
        engine=engine,
        model=name,
        model_digest=content_digest(Path(name)) if Path(name).exists() else "",
        digest=rows.digest,
        num_rows=len(rows),
        rows_per_file=rows_per_file,
        point=operating_point or "default",
        threshold=threshold,
    )
    run = score_locally if engine == "local" else score_with_spark
    with progress_bars() as progress:
        done = run(rows, out, job, progress)

    def show() -> None:
        before = f" ({done.num_before} by an earlier call)" if done.num_before else ""
        bad = f"unreadable images: {done.num_bad}"
        click.echo(f"{out}: {done.num_rows} rows by {name}{before}; {bad}{rows.unread}")
        print_next(f"python -c 'import pandas; print(pandas.read_parquet(\"{out}\"))'")

    return Result({"out": out, "model": name, **dataclasses.asdict(done)}, show)


@click.command(
    cls=Command,
    examples=("fer-mlops export --onnx model.onnx", "fer-mlops export --onnx small.onnx --int8"),
)
@with_options(NAMED_MODEL)
@click.option("--onnx", "path", required=True, metavar="FILE", help="ONNX file to write.")
@click.option(
    "--int8", is_flag=True, help="Quantise convolutions to 8 bits and report the loss in scores."
)
@click.option(
    "--data", default="auto", help="New location of the model's own data, for --int8, if it has moved."
)
@with_json()
def export(model: str, path: str, int8: bool, data: str) -> Result:
    """Export a trained network to ONNX.

    The file includes the calibration, and its predictions are compared with the network's.
    """
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.serving.onnx_export import data_of, export_int8, export_onnx
    from fer_mlops.serving.predictor import load

    if is_chosen(data) and not int8:
        raise ConfigError("--data has no effect without --int8")
    classifier = load(model).classifier
    if not int8:
        made = export_onnx(classifier, model, Path(path))
    else:
        with progress_bars() as progress:
            parts = data_of(model, data if is_chosen(data) else None, cache_folder(), progress).parts
        made = export_int8(classifier, model, Path(path), parts["train"], parts["valid"])
    return Result(made, lambda: _print_export(made))


def _print_export(made: Exported) -> None:
    from fer_mlops.cli.output.screen import print_next

    click.echo(f"{made.path}: {made.num_bytes / 1e6:.2f} MB")
    kind = "validation" if made.loss else "drawn"
    click.echo(
        f"largest difference of a probability, over {made.num_faces} {kind} faces: "
        f"{made.largest_difference:.1e}"
    )
    if loss := made.loss:
        click.echo(
            f"on {loss.num_faces} validation faces: accuracy {loss.accuracy:.4f} "
            f"({-loss.accuracy_lost:+.4f}), macro-F1 {loss.macro_f1:.4f} ({-loss.macro_f1_lost:+.4f}), "
            f"{loss.changed:.1%} of predictions change"
        )
    print_next(f"fer-mlops predict photos/ --model {made.path}")
