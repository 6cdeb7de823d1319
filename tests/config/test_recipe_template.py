"""``fer-mlops init``: a recipe with every setting, its description and its default."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from commands import fer

from fer_mlops.config import FAMILIES
from fer_mlops.config.conversion import keys_of
from fer_mlops.config.recipe_template import recipe_template
from fer_mlops.config.recipes import build_experiment, flatten
from fer_mlops.errors import ConfigError

SETTING = re.compile(r"^( *)#(\w+: )", re.MULTILINE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_recipe_is_the_defaults_as_written_and_with_every_line_uncommented(
    family: str, tmp_path: Path
) -> None:
    text = recipe_template(family, "mine.yaml")
    whole = SETTING.sub(r"\1\2", text)
    default = FAMILIES[family]()
    for number, content in enumerate((text, whole)):
        path = tmp_path / f"{number}.yaml"
        path.write_text(content)
        assert build_experiment(family, recipe=path) == default
    tree = yaml.safe_load(whole)
    keys = {f"{a}.{b}" for a, inner in tree.items() if isinstance(inner, dict) for b in inner}
    keys |= {key for key, value in tree.items() if not isinstance(value, dict)}
    assert keys - {"family"} == set(keys_of(default, "")) == set(flatten(default))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_has_a_description_above_it_and_lines_fit(family: str) -> None:
    lines = recipe_template(family, "mine.yaml").splitlines()
    for before, line in pairwise(lines):
        assert len(line) <= 100
        if SETTING.match(line):
            assert before.lstrip().startswith("# "), line


def test_the_choices_of_a_setting_are_named() -> None:
    text = " ".join(recipe_template("cnn", "mine.yaml").replace("#", "").split())
    assert "One of adamw, muon." in text
    assert "One of cross_entropy, class_weighted, logit_adjusted, focal." in text
    assert "identity keeps each person in one part" in text


def test_a_changed_setting_is_used(tmp_path: Path) -> None:
    text = recipe_template("cnn", "mine.yaml").replace("  #epochs: 20", "  epochs: 3")
    (tmp_path / "mine.yaml").write_text(text)
    assert build_experiment("cnn", recipe=tmp_path / "mine.yaml").training.epochs == 3  # type: ignore[union-attr]


def test_a_setting_without_a_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data:\nseed:\n")
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        build_experiment("cnn", recipe=tmp_path / "mine.yaml")


def test_init_writes_a_file_once_and_tells_how_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = fer(capfd, "init")
    assert status == 0
    assert "Next:     fer-mlops cnn --recipe recipe.yaml" in out
    written = (tmp_path / "recipe.yaml").read_text()
    assert written == recipe_template("cnn", "recipe.yaml")
    status, _, err = fer(capfd, "init", "recipe.yaml", "--family", "baseline")
    assert status == 1
    assert err == "fer-mlops: 'recipe.yaml' exists already; name another file or move it away\n"
    assert (tmp_path / "recipe.yaml").read_text() == written
    status, _, _ = fer(capfd, "init", "own.yaml", "--family", "baseline")
    assert status == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["own.yaml", "recipe.yaml"]
    assert "fer-mlops baseline --recipe own.yaml" in (tmp_path / "own.yaml").read_text()
