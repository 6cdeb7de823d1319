"""Trained models on the same faces: who may be compared, and what is said of them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from numpy.typing import NDArray
from quick import fetched_bundle
from rich.console import Console
from tiny import run, tiny

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.datasets.sample import draw_sample
from fer_mlops.data.provenance import TrainingProvenance
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError, ModelError
from fer_mlops.evaluation.comparison import Comparison
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.speed import Speed, count_parameters, measure_speed
from fer_mlops.files import cache_folder
from fer_mlops.metrics.identities import unnamed_identity
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier
from fer_mlops.pipelines.candidates import Candidate, find_candidates, latest_runs
from fer_mlops.pipelines.compare import (
    compare_models,
    compare_predictions,
    compare_trained,
    log_comparison,
)
from fer_mlops.pipelines.shared_test_set import SharedTestSet, check_fairness, find_shared_test_set
from fer_mlops.pipelines.train import Trained
from fer_mlops.progress import no_progress
from fer_mlops.reporting.comparison_page import charts_of, render_comparison
from fer_mlops.reporting.comparison_text import answers_of, p_value, percent, verdict_of
from fer_mlops.tracking.registry import load_classifier
from fer_mlops.tracking.runs import track

PLAIN = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


class _Silent:
    """A scorer that is never asked."""

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.zeros((len(pixels), 7), np.float32)


def candidate(name: str, provenance: TrainingProvenance | None = None) -> Candidate:
    return Candidate(
        name=name,
        uri=f"models:/{name}/1",
        run_id=None,
        classifier=Classifier(family=name, image_size=32, scorer=_Silent(), calibration=PLAIN),
        num_bytes=2_500_000,
        provenance=provenance,
        experiment=None,
        minutes=float("nan"),
    )


def provenance(*people: str, digest: str = "same") -> TrainingProvenance:
    return TrainingProvenance(digest, frozenset(people), frozenset())


@pytest.fixture
def table(faces_folder: Path) -> FaceTable:
    """140 drawn faces of 20 people."""
    return load_faces(Request(cache=Path(), config=DataConfig(source=str(faces_folder))))


def answers(table: FaceTable, share: float, seed: int = 0) -> LabelledPredictions:
    """Returns answers of which about ``share`` are right, the others neutral."""
    generator = np.random.default_rng(seed)
    given = np.where(generator.random(len(table)) < share, table.labels, 4)
    logits = (generator.uniform(1, 5, (len(table), 1)) * np.eye(7)[given]).astype(np.float32)
    return LabelledPredictions(table=table, logits=logits, calibration=PLAIN)


def test_faces_of_another_size_are_decoded_without_reading_the_table_again(
    table: FaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SharedTestSet(config=DataConfig(), whole=table, table=table.select([5, 2]), described="few")
    monkeypatch.setattr("fer_mlops.data.loading.load_faces", None)
    assert few.pixels(16, tmp_path, no_progress).shape == (2, 16, 16)


@pytest.fixture
def judged(table: FaceTable, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """Three models, right about 95, 60 and 58 of 100 faces."""
    monkeypatch.setattr("fer_mlops.pipelines.compare.count_parameters", lambda _: 12_345)
    names = ("good", "fair", "a name of a model that is far too long for any table")
    test_set = SharedTestSet(config=DataConfig(), whole=table, table=table, described="all of few")
    return compare_predictions(
        [candidate(name) for name in (names[1], names[0], names[2])],
        [answers(table, share, seed) for seed, share in enumerate((0.6, 0.95, 0.58))],
        [Speed(1000.0, 1.5)] * 3,
        test_set,
        "default",
    )


# ── what is concluded ──


def test_models_stand_best_first_each_against_the_best_with_corrected_p(judged: Comparison) -> None:
    values = [entry.scores["macro_f1"].value for entry in judged.entries]
    assert judged.best.name == "good"
    assert values == sorted(values, reverse=True)
    assert [match.other for match in judged.matches] == [1, 2]
    for match in judged.matches:
        gap = match.pairing.macro_f1
        assert (gap.a, gap.b) == (values[0], values[match.other])
        assert match.is_clear
    raw = sorted(match.pairing.mcnemar.p for match in judged.matches)
    corrected = sorted(match.p_accuracy for match in judged.matches)
    assert corrected[0] == pytest.approx(3 * raw[0])  # three models are three pairs
    assert corrected[1] == pytest.approx(max(3 * raw[0], 2 * raw[1]))
    assert verdict_of(judged) == "good is better than all others"


def test_of_three_people_a_comparison_says_no_more_than_the_scores(
    table: FaceTable, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.pipelines.compare.count_parameters", lambda _: 1)
    few = replace(table, identities=np.array([f"p{i % 3}" for i in range(len(table))]))
    found = compare_predictions(
        [candidate("one"), candidate("two")],
        [answers(few, 0.95), answers(few, 0.6)],
        [Speed(1, 1)] * 2,
        SharedTestSet(config=DataConfig(), whole=few, table=few, described="few"),
        "default",
    )
    assert verdict_of(found) == "No clear winner: one is ahead of two, but the lead may be chance"
    said = " ".join(answers_of(found).values())
    page = re.sub(r'"data:[^"]*"', "", render_comparison(found, faces_folder))
    for text in (said, page):
        assert "No intervals: they need at least 5 people, here 3" in text
        assert "no p: fewer than 10 people" in text
        assert "nan" not in text
    assert not [name for name in found.metrics() if name.endswith(("_low", "_high", "_probability"))]
    json.dumps(found.as_dict(), allow_nan=False)


def test_no_more_is_claimed_than_chance_allows(table: FaceTable) -> None:
    test_set = SharedTestSet(config=DataConfig(), whole=table, table=table, described="few")

    def verdict(one: LabelledPredictions, two: LabelledPredictions) -> str:
        pair = [candidate("one"), candidate("two")]
        pair = [replace(each, classifier=replace(each.classifier, scorer=_hog())) for each in pair]
        return verdict_of(compare_predictions(pair, [one, two], [Speed(1, 1)] * 2, test_set, "default"))

    good, fair, like_fair = answers(table, 0.95), answers(table, 0.6), answers(table, 0.6, 7)
    assert verdict(good, fair) == "one is better than two"
    assert verdict(fair, good) == "two is better than one"
    assert verdict(fair, fair) == "No difference: one and two are right about the same faces"
    assert verdict(fair, like_fair).startswith("No clear winner: ")


def _hog() -> object:
    from fer_mlops.models.hog_svm import HogSvm

    few = np.zeros(2)
    return HogSvm(**dict.fromkeys(HogSvm.__dataclass_fields__, few))


def test_words_are_as_sure_as_the_numbers() -> None:
    assert [percent(share) for share in (0.0, 0.5, 0.938, 0.9995, 1.0)] == [
        "under 0.05%",
        "50.0%",
        "93.8%",
        "99.95%",
        "over 99.95%",
    ]
    assert (p_value(0.0004), p_value(0.0321)) == ("p < 0.001", "p = 0.032")


def test_faces_in_dispute_are_those_one_has_right_by_the_largest_gap(judged: Comparison) -> None:
    disagreements = judged.matches[0].disagreements
    assert 0 < len(disagreements) <= 16
    for dispute in disagreements:
        assert (dispute.best == dispute.label) != (dispute.other == dispute.label)
        assert (dispute.gap > 0) == (dispute.best == dispute.label)
    sides = [dispute.best == dispute.label for dispute in disagreements]
    assert sides == sorted(sides, reverse=True)
    won = [dispute.gap for dispute in disagreements if dispute.gap > 0]
    lost = [dispute.gap for dispute in disagreements if dispute.gap < 0]
    assert won == sorted(won, reverse=True)
    assert lost == sorted(lost)
    assert len(won) == 8
    assert won[-1] > won[0] / 2  # of some fifty


# ── on which faces ──


def test_a_model_that_has_seen_the_people_is_refused_or_warned_of(table: FaceTable) -> None:
    test_set = SharedTestSet(config=DataConfig(), whole=table, table=table, described="few")
    stranger, knows = provenance("nobody"), provenance(str(table.identities[0]), digest="other")
    fair = [candidate("one", stranger), candidate("two", stranger)]
    assert check_fairness(test_set, fair).warnings == ()
    leaky = [candidate("one", stranger), candidate("two", knows)]
    with pytest.raises(DataError, match=r"not a fair comparison: 5% .* whom two saw .*--anyway"):
        check_fairness(test_set, leaky)
    (warning,) = check_fairness(test_set, leaky, allow_overlap=True).warnings
    assert warning.startswith("not a fair comparison: 5% of the faces")


def test_an_unknown_past_is_told_and_a_split_that_flatters_too(table: FaceTable) -> None:
    test_set = SharedTestSet(config=DataConfig(), whole=table, table=table, described="few")
    unknown = [candidate("one", provenance("nobody")), candidate("two")]
    (warning,) = check_fairness(test_set, unknown).warnings
    assert warning.startswith("the training faces of two are unknown")
    nobody = replace(table, identities=np.array([unnamed_identity(path) for path in table.paths]))
    (warning,) = check_fairness(replace(test_set, table=nobody), unknown[:1]).warnings
    assert warning.startswith("it is unknown whether the models saw the people on these faces")
    random = provenance(*table.identities.tolist())
    both = [candidate("one", random), candidate("two", random)]
    (warning,) = check_fairness(test_set, both, is_one_split=True).warnings
    assert warning.startswith("the split makes scores too high: 100% of these faces")


@pytest.fixture(scope="module")
def trained(
    empty_store: Path,
    drawn_cache: Path,
    faces_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[Trained]]:
    """A store, and its runs: a baseline and a network of one split, a baseline of another."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FER_MLOPS_CACHE", str(drawn_cache))
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        experiments = [
            tiny("baseline", faces_folder, tracking__images_every=0),
            tiny("cnn", faces_folder, tracking__images_every=0, tracking__register=False),
            tiny("baseline", faces_folder, data__split="random", tracking__register=False),
        ]
        done = [run(experiment) for experiment in experiments]
        mlflow.set_tracking_uri(None)
    return folder / "mlflow.db", done


@pytest.fixture
def runs(world: Path, trained: tuple[Path, list[Trained]]) -> list[Trained]:
    """Those runs, in a copy of their store."""
    store, done = trained
    shutil.copy(store, world / "mlflow.db")
    return done


@pytest.fixture
def two(runs: list[Trained]) -> list[Trained]:
    """The two of one split."""
    return runs[:2]


def test_runs_answer_anew_about_the_test_faces_they_share(two: list[Trained]) -> None:
    names = [f"runs:/{one.run_id}" for one in two]
    comparison, root = compare_models(names, cache_folder())
    assert {entry.name for entry in comparison.entries} == {"baseline", "cnn"}
    assert comparison.num_faces == 28
    assert (root / "happiness").is_dir()
    assert comparison.warnings == ()
    for trained in two:
        assert trained.test
        entry = next(e for e in comparison.entries if e.family == trained.family)
        assert entry.scores["macro_f1"] == trained.test.macro_f1
        assert entry.minutes == pytest.approx(trained.minutes)
        assert entry.num_bytes > 1000
        assert entry.speed.faces_per_second > 1
    natural, _ = compare_models(names, cache_folder(), operating_point="natural")
    for trained in two:
        entry = next(e for e in natural.entries if e.family == trained.family)
        assert entry.scores["accuracy"] == trained.operating_points["natural"].accuracy


def test_models_just_trained_are_compared_as_their_stored_copies_without_reading_their_runs(
    two: list[Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, folder = compare_models([f"runs:/{one.run_id}" for one in two], cache_folder())
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", None)
    monkeypatch.setattr(mlflow.MlflowClient, "get_run", None)
    here, root = compare_trained(two)
    assert root == folder
    assert (here.faces, here.digest, here.warnings) == (stored.faces, stored.digest, stored.warnings)
    for ours, theirs in zip(here.entries, stored.entries, strict=True):
        assert (ours.name, ours.uri, ours.scores) == (theirs.name, theirs.uri, theirs.scores)
        assert (ours.num_bytes, ours.num_parameters) == (theirs.num_bytes, theirs.num_parameters)
        assert ours.minutes == pytest.approx(theirs.minutes)


def test_the_order_of_labels_is_the_bundles_own(two: list[Trained], tmp_path: Path) -> None:
    bundle = fetched_bundle(f"runs:/{two[0].run_id}", tmp_path)
    wrong = Path(shutil.copytree(bundle, tmp_path / "wrong"))
    card = json.loads((wrong / "classifier.json").read_text())
    card["emotions"].reverse()
    (wrong / "classifier.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="has other emotions"):
        compare_models([str(bundle), str(wrong)], cache_folder())


def test_other_data_is_used_whole_and_a_folder_needs_it(
    two: list[Trained], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    draw_sample(other, num_identities=3, variants=1, seed=9)
    names = [f"runs:/{two[0].run_id}", str(fetched_bundle(f"runs:/{two[1].run_id}", other.parent))]
    with pytest.raises(ConfigError, match=r"the test faces of .* are unknown; pass --data"):
        compare_models(names, cache_folder())
    config = DataConfig(source=str(other))
    with pytest.raises(DataError, match=r"not a fair comparison: .* of the faces"):
        compare_models(names, cache_folder(), other=config)  # drawn people have the same names
    comparison, _ = compare_models(names, cache_folder(), other=config, allow_overlap=True)
    assert comparison.faces == f"all of {other.name}"
    assert comparison.num_faces == 21
    assert any(warning.startswith("the training faces of") for warning in comparison.warnings)
    assert any(warning.startswith("not a fair comparison") for warning in comparison.warnings)


def test_models_of_different_splits_are_not_compared_on_each_others_faces(
    runs: list[Trained], faces_folder: Path
) -> None:
    names = [f"runs:/{runs[0].run_id}", f"runs:/{runs[2].run_id}"]
    with pytest.raises(DataError, match="not a fair comparison"):
        compare_models(names, cache_folder())
    comparison, _ = compare_models(names, cache_folder(), allow_overlap=True)
    assert comparison.num_faces < 28
    assert comparison.warnings[0].startswith("these models had different splits: compared on the")
    with track("fer_mlops", "compare") as tracker:
        files = log_comparison(comparison, faces_folder, tracker)
    tags = mlflow.get_run(tracker.run_id).data.tags
    assert "not a fair comparison" in tags["warning"]
    assert "Not a fair comparison" in files["comparison.html"]


def test_models_share_test_faces_by_name_label_person_and_folder(
    table: FaceTable, faces_folder: Path, tmp_path: Path
) -> None:
    def told(name: str, rows: range, digest: str, folder: Path = faces_folder) -> Candidate:
        faces = zip(table.paths, table.labels, table.identities.tolist(), strict=True)
        listed = [(path, EMOTIONS[label], person) for path, label, person in faces]
        provenance = TrainingProvenance(digest, frozenset(), frozenset(listed[row] for row in rows))
        experiment = tiny("baseline", folder)
        return replace(candidate(name, provenance), experiment=experiment)

    def test_set(*candidates: Candidate) -> SharedTestSet:
        return find_shared_test_set(candidates, None, cache_folder(), no_progress)

    one = told("one", range(10, 30), "a")
    same = test_set(one, told("two", range(10, 30), "a"))
    assert same.table.paths == table.paths[10:30]
    assert same.warnings == ()
    part = test_set(one, told("two", range(25, 50), "b"))
    assert part.table.paths == table.paths[25:30]
    assert "compared on the 5 test faces that all have in common, of up to 25" in part.warnings[0]
    sentence = r"share no test face \(one on .*identity split, seed 0; two on .*--data"
    with pytest.raises(DataError, match=sentence):
        test_set(one, told("two", range(50, 60), "b"))
    shutil.copytree(faces_folder, tmp_path / "elsewhere")
    with pytest.raises(DataError, match="share no test face"):
        test_set(one, told("two", range(10, 30), "a", tmp_path / "elsewhere"))
    (tmp_path / "elsewhere" / table.paths[12]).unlink()
    gone = tmp_path / "elsewhere"
    with pytest.raises(DataError, match=r"1 of the 20 test faces in .* are missing or changed"):
        test_set(*(told(name, range(10, 30), "a", gone) for name in ("one", "two")))


def test_what_cannot_be_found_is_said(two: list[Trained]) -> None:
    one = two[0]
    with pytest.raises(ConfigError, match="at least two different models, got 1"):
        find_candidates([f"runs:/{one.run_id}"] * 2)
    with pytest.raises(ConfigError, match="at least two different models, got 1"):
        find_candidates(["models:/fer-classifier@champion", "models:/fer-classifier/1"])
    with pytest.raises(ModelError, match="no run 'nowhere'"):
        find_candidates([f"runs:/{one.run_id}", "runs:/nowhere"])
    with pytest.raises(ModelError, match="no model 'models:/fer-classifier/9'"):
        find_candidates(["models:/fer-classifier/1", "models:/fer-classifier/9"])
    with track("fer_mlops", "empty") as tracker:
        pass
    with pytest.raises(ModelError, match=r"has no test scores \(status FINISHED\)"):
        find_candidates([f"runs:/{one.run_id}", f"runs:/{tracker.run_id}"])


def test_names_are_as_short_as_tells_models_apart(runs: list[Trained], tmp_path: Path) -> None:
    def names(*given: str) -> list[str]:
        return [one.name for one in find_candidates(given)]

    first, network, second = (f"runs:/{one.run_id}" for one in runs)
    assert names(network, second) == ["cnn", "baseline"]
    assert names(first, second) == [f"baseline ({name[6:12]})" for name in (first, second)]
    assert names("models:/fer-classifier@champion", network) == ["champion", "cnn"]
    assert names("models:/fer-classifier/1", str(fetched_bundle(network, tmp_path))) == [
        "version 1",
        "classifier",
    ]


def test_the_latest_run_of_each_family_leaves_out_seeds(runs: list[Trained]) -> None:
    baseline, network, later_baseline = (one.run_id for one in runs)
    assert latest_runs("fer_mlops") == [later_baseline, network]
    mlflow.MlflowClient().set_tag(later_baseline, "repeat", "seed 0")
    assert latest_runs("fer_mlops") == [network, baseline]
    assert latest_runs("nothing") == []


# ── costs ──


def test_speed_is_measured_in_one_thread_that_is_given_back() -> None:
    import torch

    seen = []

    class Scorer:
        def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.append((torch.get_num_threads(), len(pixels)))
            return np.zeros((len(pixels), 7), np.float32)

    classifier = Classifier(family="cnn", image_size=4, scorer=Scorer(), calibration=PLAIN)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (speed,) = measure_speed([classifier], [np.zeros((3, 4, 4), np.uint8)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {threads for threads, _ in seen} == {1}
    assert {num for _, num in seen} == {64, 1}
    assert speed.milliseconds > 0


def test_parameters_are_counted(two: list[Trained]) -> None:
    network = two[1].classifier.scorer.network  # type: ignore[attr-defined]
    expected = sum(weights.numel() for weights in network.parameters())
    loaded = load_classifier(f"runs:/{two[1].run_id}")
    assert count_parameters(loaded) == expected > 0
    assert count_parameters(two[0].classifier) > 20


# ── page, run, terminal ──


def test_the_page_answers_the_four_questions_in_order(judged: Comparison, faces_folder: Path) -> None:
    html = render_comparison(judged, faces_folder)
    places = [
        html.index(f"<h2>{title}")
        for title in ("Which model", "By how much", "How sure", "At what cost", "Wins and losses")
    ]
    assert places == sorted(places)
    lead = html[: places[0]]
    for predict_table in ("Which:", "By how much:", "How sure:", "At what cost:"):
        assert predict_table in lead
    assert "good is better than all others" in lead
    gap = judged.matches[0].pairing.macro_f1
    assert f"{gap.value:+.3f}" in lead
    assert "corrected by Holm" in html
    assert "With only 20 people the intervals are rough" in html
    shown = sum(len(match.disagreements) for match in judged.matches)
    assert html.count("<figure>") == shown
    assert html.count("<svg") == 3
    assert "fear *" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)


def test_the_page_escapes_names_and_shows_warnings(judged: Comparison, tmp_path: Path) -> None:
    evil = replace(judged.entries[0], name="<script>")
    changed = replace(judged, entries=(evil, *judged.entries[1:]), warnings=("beware of <b>",))
    html = render_comparison(changed, tmp_path)
    assert "<script>" not in html
    assert "Beware of &lt;b&gt;." in html
    assert "<figure>" not in html  # no such pictures there


@pytest.mark.draws
def test_a_comparison_is_logged_with_numbers_charts_json_and_page(
    judged: Comparison, world: Path, faces_folder: Path
) -> None:
    with track("fer_mlops", "compare") as tracker:
        files = log_comparison(judged, faces_folder, tracker)
    found = mlflow.get_run(tracker.run_id).data
    gap = judged.matches[0].pairing.macro_f1
    assert found.metrics["best_against/fair/macro_f1"] == pytest.approx(gap.value)
    assert found.metrics["best_against/fair/macro_f1_probability"] == gap.probability
    assert found.metrics["compare/good/macro_f1"] == judged.best.scores["macro_f1"].value
    assert found.metrics["compare/good/megabytes"] == 2.5
    assert "compare/good/minutes" not in found.metrics  # nobody knows
    assert found.tags["which"] == "good is better than all others"
    assert "**Which**: good is better than all others." in found.tags["mlflow.note.content"]
    listed = {item.path for item in mlflow.MlflowClient().list_artifacts(tracker.run_id)}
    assert {"comparison.html", "comparison.json", "comparison.png", "differences.png"} <= listed
    plain = json.loads(mlflow.artifacts.load_text(f"runs:/{tracker.run_id}/comparison.json"))
    assert plain == json.loads(files["comparison.json"])
    assert plain["matches"][0]["pairing"]["macro_f1"]["value"] == gap.value
    assert plain["entries"][0]["minutes"] is None


def test_the_table_fits_80_columns(
    judged: Comparison, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fer_mlops.cli.output import scores

    monkeypatch.setattr(scores, "console", Console(width=80, highlight=False, soft_wrap=True))
    scores.print_comparison(replace(judged, warnings=("beware " * 20,)))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"model +accuracy +balanced +macro-F1 +ms +faces/s +MB +min", out)
    for words in ("Warning: beware", "good", "0.9", "by how much", "better in", "at what cost"):
        assert words in out


def test_charts_show_every_difference_and_win(judged: Comparison) -> None:
    drawn = charts_of(judged)
    ticks = [tick.get_text() for tick in drawn["differences"].axes[0].get_yticklabels()]
    assert ticks[:2] == ["macro F1 minus fair", "balanced accuracy minus fair"]
    assert len(ticks) == 6
    bars = [bar.get_width() for bar in drawn["wins"].axes[0].patches]  # type: ignore[attr-defined]
    classes = judged.matches[0].pairing.classes
    assert bars == [row.only_a for row in classes] + [-row.only_b for row in classes]


def test_minutes_are_charted_where_two_models_know_theirs(judged: Comparison) -> None:
    assert "minutes" not in charts_of(judged)  # one of the two does not
    known = replace(judged, entries=tuple(replace(one, minutes=2.0) for one in judged.entries))
    (legend,) = charts_of(known)["minutes"].legends
    assert [text.get_text() for text in legend.get_texts()] == [one.name for one in judged.entries]
