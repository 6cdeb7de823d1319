"""A trained model as teacher: what it answers, whom it may not teach, and going on after a kill."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from mlflow import MlflowClient
from sweeps import SPACES, plan_of, untrained
from tiny import run, tiny, train

from fer_mlops.cli.main import cli
from fer_mlops.config import CnnExperiment, TrainingConfig
from fer_mlops.data.faces import Faces
from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import ConfigError, DataError, ModelError
from fer_mlops.files import cache_folder
from fer_mlops.pipelines.teacher import soft_labels, with_soft_labels
from fer_mlops.pipelines.train import Trained, run_experiment
from fer_mlops.progress import no_progress
from fer_mlops.tracking.queries import load_run_config
from fer_mlops.tracking.registry import load_classifier
from fer_mlops.tracking.runs import track
from fer_mlops.training.checkpoints import load_checkpoint
from fer_mlops.training.examples import Examples
from fer_mlops.training.losses import cross_entropy, distilled, logit_adjusted
from fer_mlops.training.steps import Step
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.search_space import Parameter
from fer_mlops.tuning.trial_data import TrialFaces
from fer_mlops.tuning.tune import tune

COUNTS = torch.tensor([40, 2, 3, 10, 20, 5, 20])


def logits(seed: int) -> torch.Tensor:
    return torch.randn(6, 7, generator=torch.Generator().manual_seed(seed))


def packed(labels: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    return torch.cat([F.one_hot(labels, 7), answers], dim=1)


@pytest.mark.parametrize("make", [cross_entropy, logit_adjusted])
def test_the_loss_is_that_of_hinton_and_others(make) -> None:  # type: ignore[no-untyped-def]
    loss = make(COUNTS, 0.1)
    labels = torch.arange(6)
    answers = (logits(1) / 3).softmax(1)
    own = ((logits(0) + loss.natural_bias) / 3).softmax(1)
    distance = 9 * (answers * (answers.log() - own.log())).sum(1).mean()
    expected = 0.4 * loss.compute(logits(0), labels) + 0.6 * distance
    mixed = distilled(loss, 0.6, 3.0)
    torch.testing.assert_close(mixed.compute(logits(0), packed(labels, answers)), expected)
    torch.testing.assert_close(mixed.compute(logits(0), labels), loss.compute(logits(0), labels))
    assert mixed.natural_bias is loss.natural_bias


def test_who_answers_as_the_teacher_pays_for_the_labels_only() -> None:
    loss = logit_adjusted(COUNTS, 0.0)
    answers = ((logits(0) + loss.natural_bias) / 2).softmax(1)
    both = distilled(loss, 1.0, 2.0).compute(logits(0), packed(torch.arange(6), answers))
    assert float(both) == pytest.approx(0, abs=1e-6)


def test_examples_hand_out_labels_and_answers_together() -> None:
    answers = logits(0).softmax(1)
    faces = Faces(
        pixels=np.zeros((6, 8, 8), np.uint8), labels=np.arange(6), identities=np.array(list("abcdef")),
        teacher_probabilities=answers.numpy(),
    )  # fmt: skip
    examples = Examples.from_faces(faces)
    _, targets = examples.take(np.array([4, 1]), torch.device("cpu"))
    torch.testing.assert_close(targets, packed(torch.tensor([4, 1]), answers[[4, 1]]))


@pytest.mark.parametrize(
    "wrong", [{"teacher_weight": 0.0}, {"teacher_weight": 1.1}, {"teacher_temperature": 0.5}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)  # type: ignore[arg-type]


def test_a_transfer_run_takes_no_teacher(faces_folder: Path) -> None:
    with pytest.raises(ConfigError, match="only cnn takes a teacher"):
        tiny("transfer", faces_folder, training__teacher="models:/fer-classifier@champion")


def student(faces: Path, teacher: str, **settings: object) -> CnnExperiment:
    experiment = tiny(
        "cnn", faces, training__teacher=teacher, tracking__images_every=0, tracking__register=False,
        **{"cnn__image_size": 24, **settings},
    )  # fmt: skip
    assert isinstance(experiment, CnnExperiment)
    return experiment


@pytest.fixture
def teacher(world: Path, faces_folder: Path) -> Trained:
    """A baseline of another image size than the student's, the champion of its own store."""
    return run(tiny("baseline", faces_folder))


def test_the_answers_are_those_about_each_face_and_its_mirror_image(
    teacher: Trained, faces_folder: Path
) -> None:
    experiment = student(faces_folder, f"runs:/{teacher.run_id}", training__teacher_temperature=4.0)
    data = prepare_data(experiment, cache_folder())
    train, facts = with_soft_labels(experiment, data, no_progress)
    assert facts == {"teacher": f"runs:/{teacher.run_id}", "teacher_family": "baseline"}
    own = prepare_data(tiny("baseline", faces_folder), cache_folder()).parts["train"].pixels[:]
    natural = teacher.classifier.calibration.at("natural")
    plain, mirrored = (
        np.log(natural.probabilities(teacher.classifier.scorer.logits(np.ascontiguousarray(faces))))
        for faces in (own, own[:, :, ::-1])
    )
    expected = np.exp((plain + mirrored) / 8)
    expected /= expected.sum(1, keepdims=True)
    assert train.teacher_probabilities is not None
    np.testing.assert_allclose(train.teacher_probabilities, expected, atol=1e-6)
    assert train.pixels.shape[1:] == (24, 24)


def test_a_run_learns_from_its_teacher_and_says_so(teacher: Trained, faces_folder: Path) -> None:
    alone = train(student(faces_folder, ""))
    taught = run(student(faces_folder, "models:/fer-classifier@champion"))
    tags = MlflowClient().get_run(taught.run_id).data.tags
    assert tags["teacher"] == "models:/fer-classifier/1"
    assert "teacher_warning" not in tags
    assert taught.valid != alone.valid
    repeated = load_run_config(taught.run_id)
    assert isinstance(repeated, CnnExperiment)
    assert repeated.training.teacher == "models:/fer-classifier/1", "an alias may move before a resume"


def test_a_killed_student_goes_on_to_the_same_numbers(
    teacher: Trained, world: Path, faces_folder: Path
) -> None:
    experiment = student(faces_folder, "models:/fer-classifier@champion")
    whole = train(experiment)
    checkpoint = world / "checkpoint.pt"

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment, on_step=stop, checkpoint=checkpoint)
    killed = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")[0].info.run_id
    MlflowClient().delete_registered_model_alias("fer-classifier", "champion")
    again = load_run_config(killed)
    with track("fer_mlops", "cnn", resume=killed) as tracker:
        resumed = run_experiment(
            again, prepare_data(again, cache_folder()), tracker, resume_from=load_checkpoint(checkpoint)
        )
    assert resumed.test == whole.test


@pytest.mark.parametrize("other", [{"seed": 5}, {"data__split": "random"}])
def test_a_teacher_that_has_seen_the_judged_people_is_refused(
    other: dict[str, object], teacher: Trained, faces_folder: Path
) -> None:
    experiment = student(faces_folder, f"runs:/{teacher.run_id}", **other)
    data = prepare_data(experiment, cache_folder())
    with pytest.raises(
        DataError, match=r"was trained on people in this run's validation or test faces \(\d+, such as"
    ):
        with_soft_labels(experiment, data, no_progress)


def test_a_teacher_of_other_people_may_teach(
    teacher: Trained, faces_folder: Path, tmp_path: Path
) -> None:
    others = tmp_path / "others"
    for path in faces_folder.glob("*/*.png"):
        target = others / path.parent.name / f"s{path.name[1:]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    experiment = student(others, f"runs:/{teacher.run_id}")
    data = prepare_data(experiment, cache_folder())
    train, facts = with_soft_labels(experiment, data, no_progress)
    assert train.teacher_probabilities is not None
    assert "teacher_warning" not in facts


def test_a_folder_that_does_not_tell_its_faces_teaches_with_a_warning(
    teacher: Trained, faces_folder: Path, tmp_path: Path
) -> None:
    teacher.classifier.save(tmp_path / "bundle")
    experiment = student(faces_folder, str(tmp_path / "bundle"))
    data = prepare_data(experiment, cache_folder())
    _, facts = with_soft_labels(experiment, data, no_progress)
    assert "may be optimistic" in facts["teacher_warning"]


@pytest.mark.parametrize("name", ["models:/fer-classifier@champion", "models:/nobody/3", "nowhere"])
def test_a_teacher_that_is_not_there_stops_with_a_sentence(
    name: str, world: Path, faces_folder: Path
) -> None:
    with pytest.raises(ModelError, match="no model"):
        train(student(faces_folder, name))


def test_a_logged_network_teaches_as_the_one_in_memory(world: Path, faces_folder: Path) -> None:
    trained = run(tiny("cnn", faces_folder, tracking__images_every=0))
    faces = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    loaded = load_classifier(f"runs:/{trained.run_id}")
    expected = soft_labels(trained.classifier, faces, 2.0)
    np.testing.assert_allclose(soft_labels(loaded, faces, 2.0), expected, atol=1e-5)


def test_a_trial_may_have_a_teacher_and_the_judges_of_no_fold_do(
    teacher: Trained, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.tuning.retrain.run_experiment", untrained)
    name = f"runs:/{teacher.run_id}"
    plan = plan_of(world, faces_folder, "cnn", 1, training__teacher=name)
    done = tune(plan, cache=cache_folder())
    assert done is not None
    assert 0 <= done.best_value <= 1
    offered = replace(SPACES["cnn"], parameters=(Parameter(key="training.teacher", choices=("", name)),))
    for extra in ({"finalists": 2}, {"folds": 3}):
        with pytest.raises(ConfigError, match=r"would leak their labels; set both to 0"):
            plan_of(world, faces_folder, "cnn", 1, training__teacher=name, **extra)
        with pytest.raises(ConfigError, match=r"would leak their labels; set both to 0"):
            plan_of(world, faces_folder, "cnn", 1, space=offered, **extra)


def test_a_sweep_with_a_teacher_has_no_finalists_unless_asked(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr("fer_mlops.tuning.tune.tune", lambda plan, **_: plans.append(plan))
    words = ["tune", "cnn", "--data", str(faces_folder), "--set", "training.teacher=models:/t/1"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert [plan.tuning.finalists for plan in plans] == [0]
    refused = CliRunner().invoke(cli, [*words, "--set", "tuning.finalists=2"])
    assert isinstance(refused.exception, ConfigError)


def test_a_teacher_of_a_fold_s_judges_is_refused_by_name(teacher: Trained, faces_folder: Path) -> None:
    experiment = student(faces_folder, f"runs:/{teacher.run_id}")
    data = prepare_data(tiny("cnn", faces_folder), cache_folder())
    fold = TrialFaces(tiny("cnn", faces_folder), data, cache_folder(), 3)
    with pytest.raises(DataError, match="was trained on people in this run's validation or test faces"):
        fold.of(experiment, 0)
