"""What can be held of the images without building them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGES = sorted(DOCKER.glob("*.Dockerfile"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(wanted: list[str]) -> set[str]:
    """Returns the packages that pip installs for these requirements, as far as they are here."""
    todo, seen = [Requirement(text) for text in wanted], set()
    while todo:
        one = todo.pop()
        key = (canonical(one.name), tuple(sorted(one.extras)))
        if key in seen:
            continue
        seen.add(key)
        try:
            needed = [Requirement(text) for text in requires(one.name) or []]
        except PackageNotFoundError:  # as those of the tracking image's store
            continue
        extras = {"", *one.extras}
        todo += [
            other
            for other in needed
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return {name for name, _ in seen}


def test_every_package_of_the_images_is_pinned() -> None:
    project = PROJECT["project"]
    extras = [
        text for name in ("face", "timm", "postgres") for text in project["optional-dependencies"][name]
    ]
    others = ["boto3", "botocore", "s3transfer", "jmespath", *PROJECT["build-system"]["requires"]]
    pins = [line for line in (DOCKER / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = [canonical(pin.partition("==")[0]) for pin in pins]
    assert installed(project["dependencies"] + extras + others) - set(pinned) == set()
    assert len(set(pinned)) == len(pinned)


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.stem)
def test_every_installation_keeps_to_the_pins(image: Path) -> None:
    installs = re.findall(r"pip install .*", image.read_text())
    assert installs
    for line in installs:
        assert "constraints.txt" in line or "--no-deps --no-build-isolation" in line


@pytest.mark.parametrize("name", ["train", "serve"])
@pytest.mark.parametrize("index", ["", "https://wheels.example/cpu"])
def test_an_index_of_torch_is_searched_beside_the_usual_one(name: str, index: str) -> None:
    script = (DOCKER / f"{name}.Dockerfile").read_text()
    line = re.search(r"^RUN (pip install .* torchvision)", script, re.MULTILINE)
    assert line
    told = subprocess.run(
        ["sh", "-c", f"set -u; {line[1].replace('pip', 'echo', 1)}"],
        env={"TORCH_INDEX": index},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert ("--extra-index-url" in told, index in told) == (bool(index), bool(index))
    assert "--index-url" not in told
    assert "PIP_INDEX_URL" not in script


def test_the_service_can_rebuild_every_backbone() -> None:
    assert "['optional-dependencies']['timm']" in (DOCKER / "serve.Dockerfile").read_text()


def test_only_the_second_compose_file_asks_for_a_gpu() -> None:
    plain = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert all("deploy" not in service for service in plain.values())
    extra = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())["services"]
    (device,) = extra["train"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert set(extra) <= set(plain)


def test_containers_reach_the_service_by_its_name() -> None:
    serve = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["serve"]
    assert serve["command"] == ["--allowed-hosts=${SERVE_HOSTS:-serve}"]
