"""What a registered model asks of an environment: enough to load it, and nothing no index has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import mlflow
import numpy as np
import pytest
from packaging.requirements import Requirement
from quick import FAMILIES, SIDE, blobs, encoded, nonsense

import fer_mlops.tracking.logged_model
from fer_mlops.config import TransferConfig
from fer_mlops.emotions import EMOTIONS
from fer_mlops.models import build_network
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.tracking.logged_model import requirements_of
from fer_mlops.tracking.runs import track

LOAD = """
import json, sys
blocked, sys.path[:0] = json.loads(sys.argv[3]), sys.argv[4:]
import mlflow, pandas

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
model = mlflow.pyfunc.load_model(sys.argv[1])
images = [open(path, "rb").read() for path in json.loads(sys.argv[2])]
table = model.predict(pandas.DataFrame({"image": images}))
import fer_mlops
print(json.dumps([table.drop(columns=["emotion"]).to_dict("list"), fer_mlops.__file__]))
"""


def network(backbone: str) -> Classifier:
    config = TransferConfig(image_size=SIDE, backbone=backbone, dropout=0.0)
    return Classifier(
        family="transfer",
        image_size=SIDE,
        scorer=NetworkScorer(build_network("transfer", config, 7).eval(), config),
        calibration=Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0),
    )


def closure(requirements: Iterable[str]) -> Iterator[Distribution]:
    """Yields the installed distributions that pip would install for the requirements."""
    left, seen = [Requirement(one) for one in requirements], set()
    while left:
        requirement = left.pop()
        asked = (requirement.name.lower().replace("_", "-"), tuple(sorted(requirement.extras)))
        extras = asked[1] or ("",)
        if asked in seen or (
            requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in extras)
        ):
            continue
        seen.add(asked)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:  # of another platform, or the CUDA of another wheel
            continue
        yield found
        for text in found.requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras):
                inner.marker = None
                left.append(inner)


def linked(distributions: Iterable[Distribution], site: Path) -> Path:
    """Returns ``site`` with links to what the distributions have installed, and to nothing else."""
    site.mkdir()
    for one in distributions:
        for top in {file.parts[0] for file in one.files or () if file.parts[0] != ".."}:
            link = site / top
            if not link.exists() and not top.endswith(".pth"):
                link.symlink_to(Path(str(one.locate_file(top))).absolute())
    return site


def logged(classifier: Classifier, world: Path) -> tuple[str, list[str], list[str]]:
    """Returns the model's URI, the files of some faces, and its requirements as they were logged."""
    paths = []
    for number, blob in enumerate(blobs(3)):
        paths.append(str(world / f"{number}.png"))
        Path(paths[-1]).write_bytes(encoded(blob))
    with track("models", "one", system_metrics=False) as tracker:
        model_id = tracker.log_classifier(classifier, [Path(paths[0]).read_bytes()], {})
    place = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}"))
    lines = (place / "requirements.txt").read_text().splitlines()
    return f"models:/{model_id}", paths, [line for line in lines if line]


def check_answers(
    python: str,
    uri: str,
    paths: list[str],
    site: list[str],
    expected: np.ndarray,
    folder: Path,
    blocked: Sequence[str] = (),
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [
            python,
            "-I",
            *(["-S"] if site else []),
            "-c",
            LOAD,
            uri,
            json.dumps(paths),
            json.dumps(blocked),
            *site,
        ],
        cwd=folder,
        env={**environment, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table, origin = json.loads(done.stdout.splitlines()[-1])
    found = np.array([table[emotion] for emotion in EMOTIONS]).T
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "/code/fer_mlops/" in origin, "it is to bring its own source"


@pytest.mark.parametrize("kind", ["cnn", pytest.param("baseline", marks=pytest.mark.slow)])
def test_a_model_answers_as_stored_without_the_packages_that_only_training_needs(
    kind: str, world: Path
) -> None:
    classifier = nonsense(kind)
    uri, paths, requirements = logged(classifier, world)
    names = [line.partition("==")[0] for line in requirements]
    assert names == ["mlflow", "torch", "numpy", "pandas", "pillow"]
    expected = classifier.predict_proba(classifier.prepare([Path(path) for path in paths]))
    blocked = ["scipy", "skimage", "sklearn", "torchvision"]
    check_answers(sys.executable, uri, paths, [], expected, world, blocked)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["baseline", "efficientnet_lite0", "timm:resnet18"])
def test_a_model_answers_as_stored_where_only_its_requirements_are_installed(
    kind: str, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    classifier = nonsense(kind) if kind in FAMILIES else network(kind)
    uri, paths, requirements = logged(classifier, world)
    site = linked(closure(requirements), tmp_path_factory.mktemp("environment") / "site")
    expected = classifier.predict_proba(classifier.prepare([Path(path) for path in paths]))
    check_answers(sys.executable, uri, paths, [str(site)], expected, world)


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("FER_MLOPS_FRESH_VENV") != "1", reason="installs torch: minutes and 5 GB"
)
def test_a_fresh_environment_made_from_a_models_requirements_loads_it(
    world: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    classifier = nonsense("cnn")
    uri, paths, requirements = logged(classifier, world)
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    (folder / "requirements.txt").write_text("\n".join(requirements))
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "-q", "-r", str(folder / "requirements.txt")]
    subprocess.run(command, check=True)
    expected = classifier.predict_proba(classifier.prepare([Path(path) for path in paths]))
    check_answers(python, uri, paths, [], expected, world)


def test_a_local_label_of_a_wheel_is_no_part_of_a_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fer_mlops.tracking.logged_model, "version", lambda name: "2.14.1+cpu")
    pins = requirements_of(nonsense("cnn"))
    assert "torch==2.14.1" in pins
    assert not any("+" in pin for pin in pins)


@pytest.mark.parametrize(
    ("backbone", "more"),
    [
        ("efficientnet_lite0", set()),
        ("resnet34", {"torchvision"}),
        ("timm:resnet18", {"torchvision", "timm"}),
    ],
)
def test_a_backbone_brings_the_requirements_that_build_it(backbone: str, more: set[str]) -> None:
    names = [
        {pin.partition("==")[0] for pin in requirements_of(one)}
        for one in (nonsense(), network(backbone))
    ]
    assert names[1] - names[0] == more
