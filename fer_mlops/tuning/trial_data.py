"""Trial data: training and validation faces of each fit, never the test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_mlops.config import DataConfig, EpochExperiment, Experiment, image_size
from fer_mlops.data.loading import Data, divide_faces, prepare_data, read_faces, take_faces
from fer_mlops.data.splits import Split
from fer_mlops.images.arrays import take_images
from fer_mlops.pipelines.teacher import with_soft_labels
from fer_mlops.progress import no_progress


class TrialFaces:
    """Faces by image size and fold, read from the image cache that all workers share."""

    def __init__(self, experiment: Experiment, data: Data, cache: Path, num_folds: int) -> None:
        self.cache, self.num_folds = cache, num_folds
        self.seed = experiment.seed
        self._data: dict[tuple[int, bool], Data] = {_key(experiment): data}
        self._folds: list[Split] | None = None

    def of(self, experiment: Experiment, fold: int) -> Data:
        """Returns the faces to train on, as ``train``, and to evaluate on, as ``valid``.

        Only image size, soft labels and teacher of the experiment select its data; ``fold`` has no
        effect without folds.
        """
        key = _key(experiment)
        if key not in self._data:
            self._data[key] = prepare_data(experiment, self.cache)  # another size or kind of label
        data = self._data[key]
        if self.num_folds:
            data = self._fold(experiment, data, fold)
        train, _ = with_soft_labels(experiment, data, no_progress)
        return replace(data, parts={"train": train, "valid": data.parts["valid"]})

    def _fold(self, experiment: Experiment, data: Data, fold: int) -> Data:
        """Returns one fold of train and valid as validation faces, and the other folds for training."""
        pool = np.sort(np.concatenate([data.split.train, data.split.valid]))
        table = data.table.select(pool)
        if self._folds is None:
            # a given split only fixes the test part; no person may be in two folds of the rest
            kind = "random" if data.split.kind == "random" else "identity"
            configs = [
                DataConfig(split=kind, folds=self.num_folds, fold=i) for i in range(self.num_folds)
            ]
            self._folds = [divide_faces(table, config, self.seed, self.cache) for config in configs]
        dealt = self._folds[fold]
        learned = np.sort(np.concatenate([dealt.train, dealt.valid]))
        _, pixels = read_faces(experiment.data, image_size(experiment), self.cache)
        pixels = take_images(pixels, pool)
        train, valid = (take_faces(table, pixels, rows) for rows in (learned, dealt.test))
        if data.parts["train"].targets is not None:
            assert table.votes is not None
            train = replace(train, targets=table.votes[learned])
        split = Split(kind=dealt.kind, train=learned, valid=dealt.test, test=np.zeros(0, np.int64))
        return Data(
            table=table,
            split=split,
            clusters=data.clusters[pool],
            parts={"train": train, "valid": valid},
            cache=self.cache,
        )


def _key(experiment: Experiment) -> tuple[int, bool]:
    soft = isinstance(experiment, EpochExperiment) and experiment.training.soft_labels
    return image_size(experiment), soft
