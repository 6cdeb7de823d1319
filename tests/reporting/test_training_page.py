"""The training page: curves, and pictures of each epoch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fer_mlops.config import AugmentConfig
from fer_mlops.reporting.training_page import MATRIX, augmented_faces, render_training
from fer_mlops.tracking.run_log import RunLog


def log_of(num: int) -> RunLog:
    log = RunLog()
    for number in range(1, num + 1):
        log.log_metrics({"valid/macro_f1": number / 10, "train/loss": 1.0, "valid/loss": 1.0}, number)
        for key in (MATRIX, "gradcam/fear"):
            log.log_picture(key, Image.new("L", (600, 400), number), number)
    return log


def test_each_epoch_has_its_scores_and_pictures_and_the_last_is_open() -> None:
    log = log_of(3)
    page = render_training("<cnn>", log.curves(), log.pictures(), (), ["run 1"])
    assert page.count('type="radio"') == page.count('<section id="shown') == 3
    assert 'id="step3" checked' in page
    assert page.count(" checked>") == 1
    assert "valid/macro_f1 <b>0.200</b>" in page
    assert page.count('alt="heat map, gradcam/fear"') == 3
    assert "&lt;cnn&gt;" in page
    assert "<script" not in page


def test_a_resumed_run_shows_the_epochs_before_the_kill() -> None:
    before, log = log_of(2), RunLog()
    log.restore(before.state())
    assert log.pictures() == before.pictures()
    earlier = {key: value for key, value in before.state().items() if key != "pictures"}
    RunLog().restore(earlier)  # a checkpoint of a version that kept none


def test_the_copy_for_the_slider_of_mlflow_is_not_kept() -> None:
    log, picture = RunLog(), Image.new("L", (600, 400))
    assert log.log_picture(MATRIX, picture, 0) == log.log_picture(MATRIX, picture, 1)
    assert log.pictures() == {MATRIX: {1: log.log_picture(MATRIX, picture, 1)}}


def test_a_run_without_pictures_has_curves_only() -> None:
    log = RunLog()
    log.log_metrics({"valid/macro_f1": 0.5}, 1)
    page = render_training("cnn", log.curves(), log.pictures(), (), [])
    assert "<svg" in page
    assert "radio" not in page


def test_augmented_copies_stand_beside_their_face_and_are_the_same_each_time() -> None:
    faces = np.random.default_rng(0).integers(0, 255, (2, 32, 32)).astype(np.uint8)
    config = AugmentConfig()
    found = augmented_faces(config, faces, 3)
    assert [len(picture.images) for picture in found] == [5, 5]
    assert len({uri for uri, _ in found[0].images}) == 5
    assert augmented_faces(config, faces, 3) == found


def test_epochs_after_the_frozen_ones_are_named_as_their_pictures_are() -> None:
    log = log_of(5)
    for number in range(1, 6):
        log.log_metrics({"train/phase": 1 if number <= 3 else 2}, number)
    page = render_training("transfer", log.curves(), log.pictures(), (), [])
    assert "<h3>Frozen epoch 3</h3>" in page
    assert "<h3>Epoch 2 (5 on the curves)</h3>" in page
