"""Search spaces: what a file may say, and what a sampler is asked for."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from fer_mlops.config import FAMILIES
from fer_mlops.config.recipes import build_experiment, flatten, preset_path
from fer_mlops.errors import ConfigError
from fer_mlops.files import recipes_folder
from fer_mlops.tuning.search_space import Parameter, Space, default_space, read_space, with_settings

CNN = build_experiment("cnn")


def read(folder: Path, entries: str, family: str = "cnn") -> Space:
    path = folder / "space.yaml"
    path.write_text(f"family: {family}\nspace:\n{entries}\n", encoding="utf-8")
    return read_space(path, build_experiment(family))


def ask(space: Space, **fixed: object) -> dict[str, object]:
    """Returns what the space asks for when the sampler says what ``fixed`` says."""
    study = optuna.create_study()
    study.enqueue_trial({key.replace("__", "."): value for key, value in fixed.items()})
    return dict(space.suggest(study.ask(), flatten(CNN)))


# ── the project's own ──


@pytest.mark.parametrize("family", FAMILIES)
def test_every_space_of_the_project_is_made_of_settings_its_presets_can_have(family: str) -> None:
    presets = sorted(path for path in recipes_folder().glob(f"{family}-*.yaml"))
    assert presets
    for preset in presets:
        experiment = build_experiment(family, recipe=preset)
        space = read_space(default_space(family), experiment)
        for seed in range(5):
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
            settings = space.suggest(study.ask(), flatten(experiment))
            assert flatten(with_settings(experiment, settings)).items() >= settings.items()


@pytest.mark.parametrize(
    "name", ["baseline-fast", "baseline-best", "cnn-fast", "cnn-best", "cnn-tuned", "transfer-best"]
)
def test_the_presets_that_spaces_name_lie_inside_them(name: str) -> None:
    family, _, preset = name.partition("-")
    experiment = build_experiment(family, recipe=preset_path(family, preset))
    space = read_space(default_space(family), experiment)
    start = space.start(flatten(experiment))
    assert start is not None
    assert flatten(with_settings(experiment, start)) == flatten(experiment)


# ── what is asked ──


def test_each_kind_of_parameter_becomes_optunas_own(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  training.learning_rate: {low: 1e-3, high: 0.1, log: true}\n"
        "  training.batch_size: {low: 32, high: 128, step: 32}\n"
        "  cnn.widths: {choices: [[8, 16, 32, 64], [16, 32, 64, 128]]}\n"
        "  augment.flip: {choices: [true, false]}",
    )
    study = optuna.create_study()
    trial = study.ask()
    space.suggest(trial, flatten(CNN))
    assert trial.distributions == {
        "training.learning_rate": optuna.distributions.FloatDistribution(0.001, 0.1, log=True),
        "training.batch_size": optuna.distributions.IntDistribution(32, 128, step=32),
        "cnn.widths": optuna.distributions.CategoricalDistribution(["8,16,32,64", "16,32,64,128"]),
        "augment.flip": optuna.distributions.CategoricalDistribution([True, False]),
    }


def test_a_condition_asks_for_a_setting_only_where_it_holds(tmp_path: Path) -> None:
    space = read(
        tmp_path,  # stands before the one it depends on
        "  training.logit_adjustment_tau: {low: 0.5, high: 1.5, "
        "when: {training.loss: [logit_adjusted]}}\n"
        "  training.loss: {choices: [focal, logit_adjusted]}",
    )
    assert ask(space, training__loss="focal", training__logit_adjustment_tau=1.0) == {
        "training.loss": "focal"
    }
    assert ask(space, training__loss="logit_adjusted", training__logit_adjustment_tau=1.0) == {
        "training.loss": "logit_adjusted",
        "training.logit_adjustment_tau": 1.0,
    }


def test_a_space_may_have_former_names_of_settings(tmp_path: Path) -> None:
    text = (
        "  training.{}: {{low: 0.5, high: 1.5, when: {{training.{}: last}}}}\n"
        "  training.{}: {{choices: [best, last]}}"
    )
    former = read(tmp_path, text.format("adjustment", "keep", "keep"))
    tau, kept = "logit_adjustment_tau", "keep_weights"
    assert former == read(tmp_path, text.format(tau, kept, kept))
    with pytest.raises(ConfigError, match=r"line 4: training\.keep_weights appears twice"):
        read(
            tmp_path,
            "  training.keep: {choices: [best, last]}\n" * 1
            + "  training.keep_weights: {choices: [best, last]}",
        )


def test_a_condition_may_name_a_setting_that_stays(tmp_path: Path) -> None:
    text = "  training.muon_learning_rate: {low: 0.01, high: 0.1, when: {training.optimizer: muon}}"
    space = read(tmp_path, text)
    assert ask(space) == {}
    muon = flatten(with_settings(CNN, {"training.optimizer": "muon"}))
    assert list(space.suggest(optuna.create_study().ask(), muon)) == ["training.muon_learning_rate"]


def test_the_start_is_the_point_that_the_settings_are_and_nothing_where_they_lie_outside() -> None:
    inside = Parameter(key="training.batch_size", low=32, high=128, step=32, is_whole=True)
    beside = Parameter(key="training.batch_size", low=48, high=144, step=32, is_whole=True)
    chosen = Parameter(key="training.loss", choices=("focal", "cross_entropy"))
    base = flatten(CNN)
    assert Space(family="cnn", parameters=(inside,)).start(base) == {"training.batch_size": 64}
    assert Space(family="cnn", parameters=(beside,)).start(base) is None
    assert Space(family="cnn", parameters=(inside, chosen)).start(base) is None


def test_a_grid_is_every_value_of_every_parameter(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  training.epochs: {low: 1, high: 3}\n"
        "  cnn.dropout: {low: 0.0, high: 0.3, step: 0.1}\n"
        "  training.loss: {choices: [focal, cross_entropy]}",
    )
    grid = space.grid()
    assert grid["training.epochs"] == [1, 2, 3]
    assert grid["cnn.dropout"] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert grid["training.loss"] == ["focal", "cross_entropy"]
    endless = read(tmp_path, "  cnn.dropout: {low: 0.0, high: 0.3}")
    with pytest.raises(ConfigError, match=r"^a grid needs choices or a step for cnn.dropout"):
        endless.grid()
    conditional = read(tmp_path, "  cnn.dropout: {choices: [0, 0.1], when: {cnn.hidden: 128}}")
    with pytest.raises(ConfigError, match=r"a grid takes no conditions, and cnn.dropout has one"):
        conditional.grid()


def test_equal_spaces_are_equal_text_in_whatever_order(tmp_path: Path) -> None:
    one, two = "  cnn.dropout: {low: 0, high: 0.3}\n", "  cnn.hidden: {choices: [0, 64]}\n"
    assert read(tmp_path, one + two).as_json() == read(tmp_path, two + one).as_json()
    assert read(tmp_path, one).as_json() != read(tmp_path, one.replace("0.3", "0.4")).as_json()


# ── what is refused ──

BROKEN = [
    ("training.learnin_rate: {low: 1, high: 2}", "line 3: unknown setting training.learnin_rate; did "
     "you mean training.learning_rate?"),
    ("learning_rate: {low: 1, high: 2}", "unknown setting learning_rate; did you mean "
     "training.learning_rate?"),
    ("augment.mixup: {choices: [0.0, 0.2]}", "line 3: augment.mixup was removed: no measurement showed"),
    ("banana: {low: 1, high: 2}", "unknown setting banana; known here: augment, cnn, data, "),
    ("cnn.dropout: {low: 0.3, high: 0.3}", "has an empty range: low 0.3 is not below high 0.3"),
    ("cnn.dropout: {low: 0, high: 1.5}", "cnn.dropout must be below 1, got 1.5"),
    ("cnn.dropout: {low: 0, high: 0.5, log: true}", "a log scale needs low above 0"),
    ("cnn.dropout: {low: 0, hgih: 0.5}", "unknown field 'hgih'; did you mean high?"),
    ("cnn.dropout: {low: 0}", "needs low and high, or choices"),
    ("cnn.dropout: {low: x, high: 1}", "cnn.dropout must be a number, got 'x'"),
    ("cnn.dropout: {low: 0, high: 0.5, step: 0}", "step must be a number above 0"),
    ("cnn.dropout: {low: 0.1, high: 0.5, step: 0.1, log: true}", "a log scale cannot have a step"),
    ("cnn.dropout: {low: 0, high: 0.5, log: maybe}", "log must be true or false"),
    ("cnn.dropout: 0.5", "cnn.dropout needs {low: …, high: …} or {choices: […]}"),
    ("cnn.dropout: {low: 0, high: 1, choices: [0, 1]}", "has choices and a range; give one"),
    ("cnn.hidden: {choices: [64]}", "needs two or more choices, got [64]"),
    ("cnn.hidden: {choices: [64, 64]}", "has a choice twice"),
    ("cnn.hidden: {low: 1.5, high: 3}", "cnn.hidden must be a whole number, got 1.5"),
    ("cnn.hidden: {low: 1, high: 4, step: 0.5}", "so its step must be one"),
    ("training.loss: {choices: [focal, hinge]}", "training.loss must be one of"),
    ("training.loss: {low: 0, high: 1}", "is not a number; use {choices: […]}"),
    ("data.split: {choices: [identity, random]}", "trials must be evaluated on the same faces"),
    ("seed: {low: 0, high: 9}", "the best of several seeds is luck"),
    ("cnn.hidden: {choices: [0, 1]}\n  cnn.hidden: {choices: [0, 2]}", "line 4: cnn.hidden appears "
     "twice"),
    ("cnn.hidden: {choices: [0, 1], when: {training.los: focal}}", "unknown setting training.los"),
    ("cnn.hidden: {choices: [0, 1], when: focal}", "when must be a mapping"),
    ("cnn.hidden: {choices: [0, 1], when: {training.loss: focal}}\n  training.loss: {choices: "
     "[cross_entropy, logit_adjusted]}", "cnn.hidden is never tuned: training.loss is never focal"),
    ("cnn.hidden: {choices: [0, 1], when: {cnn.last_pool: true}}\n  cnn.last_pool: {choices: [true, "
     "false], when: {cnn.hidden: 1}}", "cnn.hidden and cnn.last_pool depend on each other"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "message"), BROKEN, ids=[entry for entry, _ in BROKEN])
def test_what_a_space_cannot_say_is_one_sentence_with_its_line(
    entry: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"  {entry}")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "space.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a section 'space:'"),
        ("space: {}", "needs a section 'space:'"),
        ("space: [1]", "needs a section 'space:'"),
        ("space: {a: [}", "is not valid YAML"),
        (
            "family: baseline\nspace: {cnn.hidden: {choices: [0, 1]}}",
            "is a space for 'baseline', not 'cnn'",
        ),
        ("rooms: {}\nspace: {cnn.hidden: {choices: [0, 1]}}", "unknown section 'rooms'"),
    ],
)
def test_a_file_that_is_no_space_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_space(path, CNN)
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match="cannot read the space"):
        read_space(tmp_path / "nowhere.yaml", CNN)


def test_a_value_that_only_goes_with_other_settings_of_the_space_is_taken(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "  cnn.widths: {choices: [[8, 16], [8, 16, 32]]}\n  cnn.depths: {choices: [[1, 1], [1, 1, 1]]}",
    )
    assert space.parameters[0].choices == ("8,16", "8,16,32")
