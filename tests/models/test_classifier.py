"""Bundles from others' hands: what is not plain and fitting is refused, and no code in them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import FileInfo
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from quick import SIDE, nonsense, save_blobs
from services import publish

from fer_mlops import REGISTERED_NAME, load
from fer_mlops.cli.main import cli
from fer_mlops.errors import ModelError
from fer_mlops.models.classifier import BundleCard, Classifier
from fer_mlops.models.weights import fill_network
from fer_mlops.tracking.model_names import ModelUri
from fer_mlops.tracking.registry import load_classifier, require_model

TRAP = Path("trap")
"""Made, where a test stands, by whatever runs code of a bundle."""


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(TRAP.absolute()),)


@pytest.fixture(autouse=True)
def _no_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    yield
    assert not TRAP.exists()


def card_with(**changes: object) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        path = bundle / "classifier.json"
        card = json.loads(path.read_text())
        for key, value in changes.items():
            *sections, name = key.split("__")
            node = card
            for section in sections:
                node = node[section]
            node[name] = value
        path.write_text(json.dumps(card))

    return spoil


def text(content: str | bytes) -> Callable[[Path], None]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda bundle: bool((bundle / "classifier.json").write_bytes(data)) and None


def weights_with(change: Callable[[OrderedDict[str, object]], object]) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        state = torch.load(bundle / "weights.pt", weights_only=True)
        changed = change(state)
        torch.save(state if changed is None else changed, bundle / "weights.pt")

    return spoil


def raw_weights(content: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda bundle: bool((bundle / "weights.pt").write_bytes(content())) and None


def zipped(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * size)
    return buffer.getvalue()


def first(state: OrderedDict[str, object]) -> str:
    return next(iter(state))


def drop(state: OrderedDict[str, object]) -> None:
    del state[first(state)]


def blur(state: OrderedDict[str, object]) -> None:
    tensor = state[first(state)]
    assert isinstance(tensor, torch.Tensor)
    tensor.fill_(float("nan"))


def linked(name: str) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        outside = Path("outside")
        shutil.move(bundle / name, outside)
        (bundle / name).symlink_to(outside.absolute())

    return spoil


HOSTILE_CARDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no json": (text("{"), "is not valid JSON"),
    "no text": (text(b"\xff\xfe\x00"), "cannot be read"),
    "too deep": (text("[" * 200_000), "is not valid JSON"),
    "too long": (text(" " * 2_000_000 + "{model}"), "is not a mapping"),
    "a list": (text("[]"), "is not a mapping"),
    "a later format": (card_with(format=2), "has format 2, this fer_mlops reads 1"),
    "other emotions": (card_with(emotions=["joy"]), "has other emotions"),
    "no emotions": (card_with(emotions=None), "has other emotions"),
    "another family": (card_with(family="__import__('os')"), "unknown family"),
    "a family that is a list": (card_with(family=["cnn"]), "unknown family"),
    "a huge face": (card_with(image_size=10**9), "image_size must be 8 to 1024"),
    "a face of text": (card_with(image_size="32"), "image_size must be 8 to 1024"),
    "another size than its network": (card_with(image_size=48), "differs from that of the architecture"),
    "a network beside a baseline": (card_with(family="baseline"), "architecture"),
    "an unknown setting": (card_with(architecture__hook="x"), "unknown setting architecture.hook"),
    "a wrong type": (card_with(architecture__widths="os"), "architecture.widths must be a whole number"),
    "no architecture": (card_with(architecture=None), "architecture must be a mapping"),
    "huge layers": (
        card_with(architecture__widths=[4096] * 2, architecture__depths=[64] * 2),
        "another",
    ),
    "endless layers": (
        card_with(architecture__depths=[10**9, 1]),
        "depths must be 64 or less",
    ),
    "too wide layers": (
        card_with(architecture__widths=[10**9, 1]),
        "widths must be 4096 or less",
    ),
    "an unknown number": (card_with(calibration__scale=1), "unknown setting calibration.scale"),
    "no temperature": (card_with(calibration__temperature=0), "calibration.temperature cannot be"),
    "a temperature of text": (card_with(calibration__temperature="hot"), "must be a number"),
    "an endless temperature": (card_with(calibration__temperature=float("inf")), "finite"),
    "a bias that is none": (card_with(calibration__bias=[float("nan")] * 7), "finite"),
    "too few biases": (card_with(calibration__bias=[0.0]), "calibration.bias cannot be"),
    "too many priors": (card_with(calibration__log_prior=[0.0] * 8), "calibration.log_prior cannot be"),
    "a threshold of 9": (card_with(calibration__threshold=9), "calibration.threshold cannot be"),
    "no calibration": (card_with(calibration=[]), "calibration must be a mapping"),
    "a link outside": (linked("classifier.json"), "link to a file outside"),
}
HOSTILE_WEIGHTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pickle": (raw_weights(lambda: pickle.dumps(Trap())), "is not a weights file"),
    "a trap in torch's form": (weights_with(lambda _: {"weight": Trap()}), "cannot read weights"),
    "a trap beside tensors": (
        weights_with(lambda state: state.__setitem__(first(state), Trap())),
        "cannot read weights",
    ),
    "no file": (lambda bundle: (bundle / "weights.pt").unlink(), r"has no weights\.pt"),
    "nothing": (raw_weights(bytes), "is not a weights file"),
    "a bomb": (raw_weights(lambda: zipped(50_000_000)), "unpack to 50,000,000"),
    "a list": (weights_with(lambda _: [torch.zeros(1)]), "is not a state dict"),
    "a tensor too few": (weights_with(lambda state: drop(state)), "another network"),
    "a tensor too many": (
        weights_with(lambda state: state.__setitem__("more", torch.zeros(1))),
        "another network",
    ),
    "another shape": (
        weights_with(lambda state: state.__setitem__(first(state), torch.zeros(1))),
        "another network",
    ),
    "another type": (
        weights_with(lambda state: state.__setitem__(first(state), state[first(state)].double())),  # type: ignore[attr-defined]
        "another network",
    ),
    "a sparse tensor": (
        weights_with(lambda state: state.__setitem__(first(state), state[first(state)].to_sparse())),  # type: ignore[attr-defined]
        "another network",
    ),
    "no numbers": (weights_with(lambda state: blur(state)), "values that are not finite"),
    "a link outside": (linked("weights.pt"), "link to a file outside"),
}


def spoiled(folder: Path, family: str, spoil: Callable[[Path], None]) -> Path:
    nonsense(family).save(folder / "bundle")
    with warnings.catch_warnings():  # torch wonders about the protocol
        warnings.simplefilter("ignore")
        spoil(folder / "bundle")
    return folder / "bundle"


@pytest.mark.parametrize("kind", [*HOSTILE_CARDS, *(f"weights: {kind}" for kind in HOSTILE_WEIGHTS)])
def test_a_hostile_network_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    table = HOSTILE_WEIGHTS if kind.startswith("weights: ") else HOSTILE_CARDS
    spoil, message = table[kind.removeprefix("weights: ")]
    bundle = spoiled(tmp_path, "cnn", spoil)
    with pytest.raises(ModelError, match=message) as caught:
        Classifier.load(bundle)
    assert str(caught.value).startswith(f"{str(bundle)!r} cannot be loaded: ")
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def arrays_with(**changes: object) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        with np.load(bundle / "svm.npz") as stored:
            arrays = dict(stored)
        for name, value in changes.items():
            arrays[name] = value(arrays[name]) if callable(value) else np.array(value)
        np.savez(
            bundle / "svm.npz", allow_pickle=True, **{n: a for n, a in arrays.items() if a is not None}
        )

    return spoil


def claiming(bundle: Path) -> None:
    """Writes an array whose header says that it has 10**15 numbers."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    )
    with zipfile.ZipFile(bundle / "svm.npz", "w") as archive:
        archive.writestr("cells.npy", header.getvalue())


HOSTILE_ARRAYS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pickle": (
        lambda b: bool((b / "svm.npz").write_bytes(pickle.dumps(Trap()))) and None,
        "cannot read",
    ),
    "a trap as array": (arrays_with(mean=np.array([Trap()], dtype=object)), "cannot read"),
    "an array too few": (arrays_with(mean=lambda _: None), "cannot read"),
    "a header that lies": (claiming, "cannot read"),
    "no number": (arrays_with(gamma=float("nan")), "gamma of the baseline cannot be"),
    "another shape": (arrays_with(mean=lambda a: a[:-1]), "axes of the baseline cannot be"),
    "text": (arrays_with(cells=["8"]), "cells of the baseline cannot be"),
    "a number of text": (arrays_with(mirror="True"), "mirror of the baseline cannot be"),
    "an eighth emotion": (arrays_with(classes=np.arange(1, 8)), "classes of the baseline cannot be"),
    "wrong counts": (arrays_with(num_support=lambda a: a * 2), "num_support or gamma"),
    "huge cells": (arrays_with(cells=[10**9]), "hog_svm.cells"),
    "endless bins": (arrays_with(orientations=10**9), "hog_svm.orientations"),
    "other features": (arrays_with(orientations=5), "the baseline needs"),
    "no file": (lambda bundle: (bundle / "svm.npz").unlink(), r"has no svm\.npz"),
    "a link outside": (linked("svm.npz"), "link to a file outside"),
}


@pytest.mark.parametrize("kind", HOSTILE_ARRAYS)
def test_a_hostile_baseline_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    spoil, message = HOSTILE_ARRAYS[kind]
    bundle = spoiled(tmp_path, "baseline", spoil)
    with pytest.raises(ModelError, match=message) as caught:
        Classifier.load(bundle)
    assert "\n" not in str(caught.value)


def test_a_baseline_that_unpacks_to_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.models.hog_svm._MOST_BYTES", 1000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("the file was read"))
    bundle = spoiled(tmp_path, "baseline", lambda _: None)
    with pytest.raises(ModelError, match=r"svm\.npz unpacks to .* bytes, over 1,000"):
        Classifier.load(bundle)


def hostile_graph(bundle: Path) -> None:
    """Puts an exported graph beside the weights that runs code when torch loads it."""
    graph = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(2, 2),), strict=False)
        torch.export.save(program, graph)
    honest = zipfile.ZipFile(graph)
    stored = json.loads(honest.read("archive/data/weights/model_weights_config.json"))["config"]
    meta = next(iter(stored.values()))["tensor_meta"]
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": meta}
    with zipfile.ZipFile(bundle / "network.pt2", "w") as archive:
        for name in honest.namelist():
            is_list = name.endswith("model_constants_config.json")
            told = json.dumps({"config": {"x": entry}}).encode() if is_list else honest.read(name)
            archive.writestr(name, told)
        trap = pickle.dumps(Trap()).ljust(64 * 8, b"\0")  # whole numbers, as torch looks at it first
        archive.writestr("archive/data/constants/opaque_obj_0", trap)


def test_a_graph_that_an_earlier_version_wrote_is_never_opened(tmp_path: Path) -> None:
    bundle = spoiled(tmp_path, "cnn", hostile_graph)
    faces = np.zeros((2, SIDE, SIDE), np.uint8)
    np.testing.assert_array_equal(
        Classifier.load(bundle).predict_proba(faces), nonsense().predict_proba(faces)
    )
    assert not TRAP.exists()
    torch.export.load(bundle / "network.pt2")
    assert TRAP.exists(), "or this graph would be no trap"
    TRAP.rmdir()


def test_a_version_whose_files_are_named_or_linked_out_of_its_folder_is_refused(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = spoiled(world, "cnn", linked("weights.pt"))
    publish(bundle, "champion")
    with pytest.raises(ModelError, match="models:/fer-classifier@champion"):
        load_classifier("models:/fer-classifier@champion")
    outside = [FileInfo("../../escaped", False, 1), FileInfo("/tmp/escaped", False, 1)]
    for one in outside:
        monkeypatch.setattr(LocalArtifactRepository, "list_artifacts", lambda *_, one=one: [one])
        with pytest.raises(ModelError, match="models:/fer-classifier@champion"):
            load_classifier("models:/fer-classifier@champion")
    assert not list(world.rglob("escaped"))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("timm:resnet18", r"needs timm, which is not installed: pip install 'fer-mlops\[timm\]'"),
        ("timm:hf-hub:someone/network", "needs timm"),
        ("os.system", "is unknown"),
        ("resnet18", "another network"),
    ],
)
def test_a_backbone_that_cannot_be_built_is_one_sentence(
    backbone: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    bundle = spoiled(tmp_path, "transfer", card_with(architecture__backbone=backbone))
    with pytest.raises(ModelError, match=message):
        Classifier.load(bundle)


def test_a_backbone_of_timm_is_neither_fetched_nor_taken_from_a_hub(tmp_path: Path) -> None:
    bundle = spoiled(
        tmp_path, "transfer", card_with(architecture__backbone="timm:hf-hub:someone/network")
    )
    with pytest.raises(ModelError, match="is unknown"):
        Classifier.load(bundle)


def test_loading_takes_the_weights_from_the_bundle_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were to be downloaded")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("fer_mlops.models.weights.urlopen", refuse)
    from services import untrained

    from fer_mlops.config import TransferConfig
    from fer_mlops.models import build_network
    from fer_mlops.models.classifier import NetworkScorer

    config = TransferConfig(image_size=32, backbone="mobilenet_v3_small", weights="IMAGENET1K_V1")
    network = build_network("transfer", config, 7)
    made = Classifier(
        family="transfer",
        image_size=32,
        scorer=NetworkScorer(network, config),
        calibration=untrained().calibration,
    )
    faces = np.random.default_rng(0).integers(0, 255, (3, 32, 32)).astype(np.uint8)
    np.testing.assert_array_equal(made.as_saved().predict_proba(faces), made.predict_proba(faces))


def test_a_file_that_unpacks_to_more_than_it_holds_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(zipped(10_000_000))
    with pytest.raises(ModelError, match="unpack to 10,000,000"):
        fill_network(torch.nn.Linear(1, 1), path)


def test_tensors_that_are_larger_than_their_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(1, 1).expand(1000, 1000), "bias": torch.zeros(1000)}, path)
    with pytest.raises(ModelError, match="its tensors are larger than the file"):
        fill_network(torch.nn.Linear(1000, 1000), path)


def test_an_onnx_file_may_not_name_other_files_as_its_weights(tmp_path: Path) -> None:
    Path("secret").write_bytes(np.zeros(4, np.float32).tobytes())
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=1)
    for key, value in (("location", "secret"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    output = onnx.helper.make_tensor_value_info("y", 1, [4])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [tensor]
    )
    model = onnx.helper.make_model(
        graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)]
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="cannot be read as an ONNX model"):
        load(path)


@pytest.mark.parametrize("card", ["{", "[]", json.dumps({"format": 1})])
def test_an_onnx_file_with_a_hostile_card_is_refused(card: str, tmp_path: Path) -> None:
    inputs, output = (onnx.helper.make_tensor_value_info(n, 1, [1]) for n in "xy")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [inputs], [output]
    )
    model = onnx.helper.make_model(
        graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)]
    )
    onnx.helper.set_model_props(model, {"fer_mlops": card})
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="was not written by 'fer-mlops export'"):
        load(path)


def test_an_onnx_file_that_takes_something_else_than_faces_is_refused(tmp_path: Path) -> None:
    inputs, output = (onnx.helper.make_tensor_value_info(n, 1, [1]) for n in "xy")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [inputs], [output]
    )
    model = onnx.helper.make_model(
        graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)]
    )
    made = nonsense()
    card = BundleCard(family="cnn", image_size=SIDE, calibration=made.calibration)
    onnx.helper.set_model_props(model, {"fer_mlops": card.as_json()})
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="does not turn faces of 32 pixels into 7 emotions"):
        load(path)


def mlmodel(text: str) -> Callable[[Path], None]:
    return lambda folder: bool((folder / "MLmodel").write_text(text)) and None


OURS = "model_code_path: registered_model.py, loader_module: mlflow.pyfunc.loaders.code_model"
OTHER_LOADERS = {
    "another loader of our code": (
        "flavors: {python_function: {loader_module: trap, model_code_path: registered_model.py}}"
    ),
    "a pickled model beside our code": f"flavors: {{python_function: {{{OURS}, python_model: p}}}}",
    "a flavour beside ours": f"flavors: {{sklearn: {{}}, python_function: {{{OURS}}}}}",
    "another loader": "flavors: {python_function: {loader_module: trap, code: .}}",
    "a pickled model": "flavors: {python_function: {loader_module: mlflow.x, python_model: p}}",
    "another flavour": "flavors: {sklearn: {pickled_model: model.pkl}}",
    "two flavours": "flavors: {sklearn: {}, python_function: {loader_module: mlflow.sklearn}}",
    "no flavours": "flavors: 7",
    "code of another name": (
        "flavors: {python_function: {loader_module: mlflow.pyfunc.loaders.code_model, "
        "model_code_path: /tmp/trap.py}}"
    ),
    "a tag that runs code": "flavors: !!python/object/apply:os.system ['touch trap']",
    "no mapping": "[]\n- x",
    "a list": "- x",
}


@pytest.mark.parametrize("kind", OTHER_LOADERS)
def test_a_model_that_another_program_logged_is_refused_and_not_run(kind: str, world: Path) -> None:
    bundle = spoiled(world, "cnn", mlmodel(OTHER_LOADERS[kind]))
    (bundle / "trap.py").write_text(f"open({str(TRAP.absolute())!r}, 'w')")
    with pytest.raises(ModelError, match=r"was not logged by fer_mlops|MLmodel cannot be read"):
        load_classifier(str(bundle))
    publish(bundle, "champion")
    for read in (load_classifier, require_model):
        with pytest.raises(ModelError, match=r"was not logged by fer_mlops|MLmodel cannot be read"):
            read("models:/fer-classifier@champion")


COMMANDS = {
    "predict": ["predict", "faces", "--model", "{model}"],
    "explain": ["explain", "faces", "--model", "{model}", "--out", "looked"],
    "evaluate": ["evaluate", "--model", "{model}", "--data", "{faces}"],
    "compare": ["compare", "--models", "{model},models:/fer-classifier/1", "--data", "{faces}"],
    "score": ["score", "faces", "--model", "{model}", "--out", "scored"],
    "promote": ["promote", "--version", "2", "--data", "{faces}"],
    "serve": ["serve", "--model", "{model}", "--port", "0"],
    "export": ["export", "--model", "{model}", "--onnx", "model.onnx"],
    "teacher": ["cnn", "--data", "{faces}", "--teacher", "{model}", "--set", "training.epochs=1"],
    "data check": ["data", "check", "{faces}", "--model", "{model}"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_hostile_version_without_running_it(
    command: str, world: Path, faces_folder: Path
) -> None:
    nonsense().save(world / "good")
    publish(world / "good", "champion")
    bundle = spoiled(world, "cnn", HOSTILE_WEIGHTS["a trap beside tensors"][0])
    hostile_graph(bundle)
    publish(bundle, "challenger")
    save_blobs(world / "faces", 2)
    named = {"model": "models:/fer-classifier/2", "faces": faces_folder}
    words = [word.format(**named) for word in COMMANDS[command]]
    with pytest.raises(
        ModelError, match=r"models:/fer-classifier/2.* cannot be loaded: cannot read weights"
    ):
        CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)


def test_what_is_fetched_is_removed(
    world: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    nonsense().save(world / "good")
    publish(world / "good", "champion")
    load_classifier("models:/fer-classifier@champion")
    with pytest.raises(ModelError):
        load_classifier("models:/fer-classifier/9")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/fer-classifier@champion", ("", "fer-classifier", "champion", "")),
        ("models:/fer-classifier/3", ("", "fer-classifier", "", "3")),
        ("models:/m-0123", ("", "m-0123", "", "")),
        ("runs:/0123", ("0123", "", "", "")),
        ("runs:/0123/classifier/", ("0123", "", "", "")),
        ("models:/", ("", "", "", "")),
        ("folder/models:/x", ("", "", "", "")),
        ("model.onnx", ("", "", "", "")),
        ("https://host/model", ("", "", "", "")),
    ],
)
def test_the_name_of_a_model_has_one_meaning(text: str, expected: tuple[str, ...]) -> None:
    name = ModelUri.parse(text)
    assert (name.run_id, name.model, name.alias, name.version) == expected
    assert name.is_stored == any(expected)
    assert name.is_registered == any(expected[2:])


def test_a_version_named_latest_is_fixed_to_its_number(world: Path) -> None:
    from fer_mlops.tracking.registry import resolve_model_uri

    nonsense().save(world / "good")
    publish(world / "good")
    publish(world / "good")
    assert MlflowClient().get_model_version(REGISTERED_NAME, "2")
    assert resolve_model_uri("models:/fer-classifier/latest") == "models:/fer-classifier/2"
