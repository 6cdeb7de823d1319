"""Settings: their defaults and limits, and how recipes and options fill them."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from pathlib import Path

import pytest

from fer_mlops import config
from fer_mlops.config import (
    FAMILIES,
    AugmentConfig,
    BaselineExperiment,
    CnnExperiment,
    TrainingConfig,
    TransferExperiment,
    image_size,
)
from fer_mlops.config.conversion import REMOVED, current_key
from fer_mlops.config.recipes import (
    build_experiment,
    experiment_from_json,
    flatten,
    main_settings,
    parse_assignments,
    preset_path,
    read_recipe,
    recipe_text,
    recipes_folder,
    settings_as_json,
)
from fer_mlops.errors import ConfigError
from fer_mlops.files import presets

RECIPES = sorted(p for p in recipes_folder().glob("*.yaml") if not p.stem.startswith(("tune-", "gate")))


def setting_of(family: str, key: str, value: object) -> object:
    """Returns what ``value`` became once it was set."""
    part: object = build_experiment(family, settings={key: value})
    for name in key.split("."):
        part = getattr(part, name)
    return part


def write_recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# ── the project's own recipes ──


def test_the_project_comes_with_recipes() -> None:
    assert {"cnn-course", "cnn-fast", "cnn-best"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds_and_is_the_preset_its_name_says(path: Path) -> None:
    family, _, preset = path.stem.partition("-")
    assert preset_path(family, preset) == path
    assert build_experiment(family, recipe=path).family == family


def test_the_course_recipe_states_exactly_the_defaults() -> None:
    assert build_experiment("cnn", recipe=preset_path("cnn", "course")) == CnnExperiment()


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"^cnn has no preset 'huge'; it has: best, course, fast"):
        preset_path("cnn", "huge")


# ── filling ──


def test_without_recipe_or_settings_the_defaults_stand() -> None:
    assert build_experiment("baseline") == BaselineExperiment()
    assert build_experiment("cnn") == CnnExperiment()
    assert build_experiment("transfer") == TransferExperiment()


def test_a_recipe_changes_only_what_it_states(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "family: transfer\ntraining: {epochs: 2}\n")
    built = build_experiment("transfer", recipe=path)
    default = TransferExperiment()
    assert built == dataclasses.replace(
        default, training=dataclasses.replace(default.training, epochs=2)
    )


def test_settings_win_over_the_recipe(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "seed: 1\ntraining: {epochs: 2, patience: 3}\n")
    built = build_experiment("cnn", recipe=path, settings={"training.epochs": 5, "seed": 9})
    assert (built.seed, built.training.epochs, built.training.patience) == (9, 5, 3)  # type: ignore[union-attr]


def test_building_changes_nothing_but_what_it_returns() -> None:
    settings = {"training.epochs": 5}
    build_experiment("cnn", settings=settings)
    assert settings == {"training.epochs": 5}
    assert CnnExperiment().training.epochs == 20


@pytest.mark.parametrize(
    ("family", "key", "text", "value"),
    [
        ("cnn", "training.learning_rate", "1e-3", 0.001),
        ("cnn", "training.epochs", "7", 7),
        ("cnn", "training.epochs", 7.0, 7),
        ("cnn", "training.epochs", "1e1", 10),
        ("cnn", "cnn.dropout", 0, 0.0),
        ("cnn", "cnn.widths", "8,16,32,64", (8, 16, 32, 64)),
        ("cnn", "cnn.widths", [8, 16, 32, 64], (8, 16, 32, 64)),
        ("baseline", "hog_svm.fractions", "0.5,1", (0.5, 1.0)),
        ("cnn", "data.source", 7, "7"),
        ("cnn", "augment.flip", False, False),
        ("cnn", "data.split", "random", "random"),
    ],
)
def test_a_value_becomes_the_type_of_its_setting(
    family: str, key: str, text: object, value: object
) -> None:
    became = setting_of(family, key, text)
    assert became == value
    assert type(became) is type(value)


def test_yaml_1e_3_which_yaml_reads_as_text_is_a_number_all_the_same(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "training: {learning_rate: 1e-3}\n")
    assert read_recipe(path, "cnn") == {"training": {"learning_rate": "1e-3"}}
    assert build_experiment("cnn", recipe=path) == CnnExperiment()


# ── refusals ──


@pytest.mark.parametrize(
    ("family", "key", "message"),
    [
        ("cnn", "training.epoch", "unknown setting training.epoch; did you mean training.epochs?"),
        ("cnn", "training_.epochs", "unknown setting training_; did you mean training?"),
        ("baseline", "training.epochs", "unknown setting training; did you mean tracking?"),
        (
            "cnn",
            "cnn.xyzzy",
            "unknown setting cnn.xyzzy; known here: depths, dropout, hidden, ",
        ),
        (
            "cnn",
            "",
            "unknown setting ; known here: augment, cnn, data, max_error, seed, tracking, training",
        ),
    ],
)
def test_an_unknown_setting_is_refused_with_a_hint(family: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_experiment(family, settings={key: 1})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.epochs", "many", "training.epochs must be a whole number, got 'many'"),
        ("training.epochs", 1.5, "training.epochs must be a whole number, got 1.5"),
        ("training.epochs", True, "training.epochs must be a whole number, got True"),
        ("training.epochs", None, "training.epochs must be a whole number, got None"),
        ("training.epochs", [1], "training.epochs must be a whole number, got [1]"),
        ("augment.flip", "yes", "augment.flip must be true or false, got 'yes'"),
        ("augment.flip", 1, "augment.flip must be true or false, got 1"),
        ("data.source", True, "data.source must be text, got True"),
        ("cnn.widths", 5, "cnn.widths must be a list, such as [1, 2], got 5"),
        ("cnn.widths", "8,wide", "cnn.widths must be a whole number, got 'wide'"),
        ("training", 5, "training is a section and needs keys of its own, got 5"),
        ("seed.x", 5, "seed must be a whole number, got {'x': 5}"),
        (
            "data.split",
            "by name",
            "data.split must be one of identity, random, given or the path of a csv, got 'by name'",
        ),
        ("cnn.widths", [8, True], "cnn.widths must be a whole number, got True"),
        (
            "training.schedule",
            ["plateau"],
            "training.schedule must be one of plateau, one_cycle, got ['plateau']",
        ),
        (
            "training.schedule",
            "platau",
            "training.schedule must be one of plateau, one_cycle, got 'platau'; did you mean plateau?",
        ),
        ("training.learning_rate", True, "training.learning_rate must be a number, got True"),
        ("training.learning_rate", 0, "training.learning_rate must be above 0, got 0.0"),
        ("cnn.dropout", 1, "cnn.dropout must be below 1, got 1.0"),
        ("augment.zoom", 0.6, "augment.zoom must be 0.5 or less, got 0.6"),
        ("cnn.hidden", -1, "cnn.hidden must be 0 or more, got -1"),
        ("data.split", ["random"], "data.split must be text, got ['random']"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_experiment("cnn", settings={key: value})
    assert str(caught.value) == message


OUT_OF_RANGE = [
    ("cnn", "data.valid_share", 0),
    ("cnn", "data.valid_share", 0.5),
    ("cnn", "data.test_share", 0),
    ("cnn", "data.test_share", 0.5),
    ("cnn", "augment.rotation", -1),
    ("cnn", "augment.rotation", 45.1),
    ("cnn", "augment.zoom", 0.51),
    ("cnn", "augment.shift", -0.1),
    ("cnn", "augment.brightness", 1.1),
    ("cnn", "augment.contrast", -0.1),
    ("cnn", "augment.random_erasing", 1.1),
    ("cnn", "training.epochs", 0),
    ("cnn", "training.batch_size", 1),
    ("cnn", "training.learning_rate", 0),
    ("cnn", "training.weight_decay", -0.1),
    ("cnn", "training.label_smoothing", 0.6),
    ("cnn", "training.ema_decay", 1),
    ("cnn", "training.patience", 0),
    ("cnn", "tracking.images_every", -1),
    ("cnn", "cnn.image_size", 15),
    ("cnn", "cnn.image_size", 257),
    ("cnn", "cnn.widths", []),
    ("cnn", "cnn.widths", [32, 64, 0, 256]),
    ("cnn", "cnn.depths", [1, 1, 1]),
    ("cnn", "cnn.depths", [1, 1, 1, 0]),
    ("cnn", "cnn.hidden", -1),
    ("cnn", "cnn.dropout", 1),
    ("baseline", "hog_svm.image_size", 8),
    ("baseline", "hog_svm.cells", []),
    ("baseline", "hog_svm.cells", [8, 3]),
    ("baseline", "hog_svm.cells", [49]),
    ("baseline", "hog_svm.orientations", 1),
    ("baseline", "hog_svm.components", 0),
    ("baseline", "hog_svm.c", 0),
    ("baseline", "hog_svm.gamma", -1),
    ("baseline", "hog_svm.fractions", []),
    ("baseline", "hog_svm.fractions", [0.5]),
    ("baseline", "hog_svm.fractions", [0.5, 0.25, 1]),
    ("baseline", "hog_svm.fractions", [0, 1]),
    ("transfer", "transfer.image_size", 16),
    ("transfer", "transfer.dropout", -0.1),
    ("transfer", "transfer.frozen_epochs", -1),
    ("transfer", "transfer.frozen_learning_rate", 0),
]


@pytest.mark.parametrize(("family", "key", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_by_name(family: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{key} must be .*, got "):
        build_experiment(family, settings={key: value})


ON_THE_EDGE = [
    ("cnn", "augment.rotation", (0, 45)),
    ("cnn", "augment.zoom", (0, 0.5)),
    ("cnn", "augment.shift", (0, 0.5)),
    ("cnn", "augment.brightness", (0, 1)),
    ("cnn", "augment.contrast", (0, 1)),
    ("cnn", "augment.random_erasing", (0, 1)),
    ("cnn", "data.valid_share", (0.01, 0.49)),
    ("cnn", "data.test_share", (0.01, 0.49)),
    ("cnn", "training.epochs", (1,)),
    ("cnn", "training.batch_size", (2,)),
    ("cnn", "training.weight_decay", (0,)),
    ("cnn", "training.label_smoothing", (0, 0.5)),
    ("cnn", "training.ema_decay", (0, 0.9999)),
    ("cnn", "training.patience", (1,)),
    ("cnn", "tracking.images_every", (0,)),
    ("cnn", "cnn.image_size", (16, 256)),
    ("cnn", "cnn.hidden", (1,)),
    ("cnn", "cnn.dropout", (0, 0.99)),
    ("baseline", "hog_svm.image_size", (32, 512)),
    ("baseline", "hog_svm.cells", ((4,), (8, 48))),
    ("baseline", "hog_svm.orientations", (2,)),
    ("baseline", "hog_svm.components", (1,)),
    ("baseline", "hog_svm.c", (1e-6,)),
    ("baseline", "hog_svm.gamma", (1e-6,)),
    ("baseline", "hog_svm.fractions", ((1.0,), (0.001, 1.0))),
    ("transfer", "transfer.image_size", (32, 512)),
    ("transfer", "transfer.dropout", (0, 0.99)),
    ("transfer", "transfer.frozen_epochs", (1,)),
]


@pytest.mark.parametrize(("family", "key", "values"), ON_THE_EDGE)
def test_a_value_on_the_edge_of_its_range_is_taken(
    family: str, key: str, values: tuple[object, ...]
) -> None:
    assert [setting_of(family, key, value) for value in values] == list(values)


def test_one_block_of_one_channel_is_a_network_too() -> None:
    smallest = build_experiment("cnn", settings={"cnn.widths": [1], "cnn.depths": [1]})
    assert isinstance(smallest, CnnExperiment)
    assert (smallest.cnn.widths, smallest.cnn.depths) == ((1,), (1,))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf", ".inf"])
@pytest.mark.parametrize("key", ["training.learning_rate", "training.epochs", "augment.zoom", "seed"])
def test_no_number_can_be_nan_or_infinite(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{key} must be a (finite |whole )?number, got "):
        build_experiment("cnn", settings={key: value})


def test_a_number_too_large_for_any_machine_is_refused_and_no_crash() -> None:
    with pytest.raises(ConfigError, match=r"^training\.epochs must be"):
        build_experiment("cnn", settings={"training.epochs": 10**400})


@pytest.mark.parametrize("seed", [-1, 2**32])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_that_no_generator_takes_is_refused(family: str, seed: int) -> None:
    with pytest.raises(ConfigError, match=r"^seed must be"):
        build_experiment(family, settings={"seed": seed})


def test_a_section_refuses_nan_even_without_a_recipe() -> None:
    with pytest.raises(ConfigError, match=r"^training\.learning_rate must be a finite number, got nan$"):
        TrainingConfig(learning_rate=math.nan)


def test_a_cnn_refuses_more_blocks_than_its_faces_can_be_halved() -> None:
    five = {"cnn.widths": [8] * 5, "cnn.depths": [1] * 5}
    with pytest.raises(ConfigError, match=r"^cnn\.image_size must be at least 32 for 5 blocks, got 16$"):
        build_experiment("cnn", settings={**five, "cnn.image_size": 16})
    assert image_size(build_experiment("cnn", settings={**five, "cnn.image_size": 32})) == 32


SECTIONS = [value for value in vars(config).values() if dataclasses.is_dataclass(value)]


@pytest.mark.parametrize("section", SECTIONS)
def test_settings_are_named_and_cannot_be_changed_after_they_were_checked(section: type) -> None:
    first = dataclasses.fields(section)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(section(), first.name, 9)
    with pytest.raises(ConfigError, match=r"are given by name, got 9$"):
        section(9)


# ── recipe files ──


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping, such as 'key: value'"),
        ("- training", "must be a mapping, such as 'key: value'"),
        ("training: [", "is not valid YAML: "),
        ("training: !!python/object:os.system {}", "is not valid YAML: "),
        ("family: baseline", "is for 'baseline', not 'cnn'"),
    ],
)
def test_a_file_that_is_no_recipe_of_the_family_is_refused_by_name(
    text: str, message: str, tmp_path: Path
) -> None:
    path = write_recipe(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, "cnn")
    assert str(caught.value).startswith(f"recipe {str(path)!r} {message}")


def test_a_missing_recipe_is_refused_by_name_with_the_nearest_one(tmp_path: Path) -> None:
    path = tmp_path / "mien.yaml"
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, "cnn")
    assert str(caught.value) == f"no recipe {str(path)!r}"
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, "cnn")
    assert str(caught.value) == f"no recipe {str(path)!r}; did you mean {str(tmp_path / 'mine.yaml')!r}?"


# ── --set ──


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("training.epochs=5", ("training.epochs", 5)),
        (" augment.flip = false", ("augment.flip", False)),
        ("cnn.widths=[8, 16]", ("cnn.widths", [8, 16])),
        ("data.source=a=b", ("data.source", "a=b")),
        ("training.learning_rate=1e-3", ("training.learning_rate", "1e-3")),
    ],
)
def test_an_assignment_is_a_key_and_a_yaml_value(text: str, pair: tuple[str, object]) -> None:
    assert parse_assignments([text]) == dict([pair])


@pytest.mark.parametrize("text", ["training.epochs", "=5", " =5", ""])
def test_an_assignment_without_key_or_equals_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignments([text])
    assert str(caught.value) == f"--set needs key=value, such as training.epochs=5, got {text!r}"


def test_an_assignment_of_broken_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--set cnn\.widths: '\[8' is not a valid YAML value$"):
        parse_assignments(["cnn.widths=[8"])


def test_one_set_may_be_a_mapping_and_later_ones_override_it() -> None:
    texts = ["{training.loss: focal, augment: {flip: false}, seed: 1}", "seed=2"]
    expected = {"training.loss": "focal", "augment.flip": False, "seed": 2}
    assert parse_assignments(texts) == expected
    assert parse_assignments(["augment={flip: false}"]) == {"augment.flip": False}
    assert parse_assignments(["{data.labels: {0: anger}}"]) == {"data.labels": {0: "anger"}}


def test_a_mapping_of_a_section_keeps_the_recipe_s_other_settings(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "training: {epochs: 3, loss: focal}")
    settings = parse_assignments(["{training: {loss: cross_entropy}}"])
    training = build_experiment("cnn", recipe=path, settings=settings).training  # type: ignore[union-attr]
    assert (training.epochs, training.loss) == (3, "cross_entropy")


@pytest.mark.parametrize("text", ["{seed: 1", "{seed: [}", "{a: 1} b"])
def test_a_mapping_of_broken_yaml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set .* is not a valid YAML mapping$"):
        parse_assignments([text])


# ── flattening ──


def test_flattening_names_every_setting_and_writes_lists_with_commas() -> None:
    flat = flatten(CnnExperiment())
    experiment = CnnExperiment()
    sections = ("data", "augment", "cnn", "training", "tracking")
    expected = {"seed", "max_error"} | {
        f"{section}.{field.name}"
        for section in sections
        for field in dataclasses.fields(getattr(experiment, section))
    }
    assert set(flat) == expected
    assert flat["cnn.widths"] == "32,64,128,256"
    assert flat["training.learning_rate"] == 0.001
    assert flat["augment.flip"] is True


@pytest.mark.parametrize("family", FAMILIES)
def test_a_flattened_experiment_builds_the_same_experiment(family: str) -> None:
    experiment = build_experiment(family)
    assert build_experiment(family, settings=flatten(experiment)) == experiment


@pytest.mark.parametrize(("family", "side"), [("baseline", 96), ("cnn", 48), ("transfer", 96)])
def test_every_family_tells_the_size_of_its_faces(family: str, side: int) -> None:
    assert image_size(build_experiment(family)) == side


# ── recipes written by the project ──


@pytest.mark.parametrize("family", FAMILIES)
def test_a_written_recipe_gives_exactly_its_settings(family: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for preset in presets(family):
        experiment = build_experiment(
            family, recipe=preset_path(family, preset), settings={"seed": 3, "data.source": "a: b"}
        )
        file.write_text(recipe_text(experiment), encoding="utf-8")
        assert build_experiment(family, recipe=file) == experiment
    file.write_text(recipe_text(build_experiment(family)))
    assert file.read_text() == f"family: {family}\n"


def test_a_recipe_may_name_settings_by_dotted_key(tmp_path: Path) -> None:
    file = tmp_path / "flat.json"
    file.write_text('{"cnn.hidden": 16, "training.epochs": 3, "training": {"loss": "focal"}}')
    settings = {"cnn.hidden": 16, "training.epochs": 3, "training.loss": "focal"}
    assert build_experiment("cnn", recipe=file) == build_experiment("cnn", settings=settings)
    file.write_text("training.widths: [8, 16]")
    with pytest.raises(ConfigError, match=r"training\.widths; did you mean cnn\.widths\?"):
        build_experiment("cnn", recipe=file)


# ── former names of settings ──

FORMER = {
    "training.adjustment": ("training.logit_adjustment_tau", 0.5),
    "training.keep": ("training.keep_weights", "last"),
    "augment.erase": ("augment.random_erasing", 0.5),
}


@pytest.mark.parametrize("former", FORMER)
def test_a_former_key_still_sets_its_setting_and_names_the_new_key(
    former: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current_key.cache_clear()
    key, value = FORMER[former]
    wanted = build_experiment("cnn", settings={key: value})
    assert not caplog.messages
    section, _, name = former.partition(".")
    path = write_recipe(tmp_path, f"{section}: {{{name}: {value}}}\n")
    assert build_experiment("cnn", settings={former: value}) == wanted != CnnExperiment()
    assert build_experiment("cnn", recipe=path) == wanted
    assert caplog.messages == [f"{former} is now {key}; the former name still works"]


def test_a_setting_wins_over_the_recipe_by_either_name(tmp_path: Path) -> None:
    for name in ("erase", "random_erasing"):
        path = write_recipe(tmp_path, f"augment: {{{name}: 0.1}}\n")
        for key in ("augment.erase", "augment.random_erasing"):
            built = build_experiment("cnn", recipe=path, settings={key: 0.2})
            assert flatten(built)["augment.random_erasing"] == 0.2


def test_the_settings_of_an_earlier_run_load_without_a_note(caplog: pytest.LogCaptureFixture) -> None:
    current_key.cache_clear()
    wanted = build_experiment("cnn", settings=dict(FORMER.values()))
    text = settings_as_json(wanted)
    for former, (key, _) in FORMER.items():
        text = text.replace(f'"{key.split(".")[1]}"', f'"{former.split(".")[1]}"')
    assert '"erase": 0.5' in text
    assert '"random_erasing"' not in text
    assert experiment_from_json(text) == wanted
    assert not caplog.messages


# ── removed settings ──


def settings_with(key: str, value: object) -> str:
    """Returns the stored settings of an earlier run that has a removed setting."""
    section, _, name = key.partition(".")
    tree = json.loads(settings_as_json(CnnExperiment()))
    tree[section][name] = value
    return json.dumps(tree)


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_setting_that_is_off_changes_nothing(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    off = float(REMOVED[key])
    section, _, name = key.partition(".")
    for text in (f"{section}: {{{name}: {off}}}", f"{key}: {off:g}"):
        assert build_experiment("cnn", recipe=write_recipe(tmp_path, text)) == CnnExperiment()
    assert build_experiment("transfer", settings={key: off}) == TransferExperiment()
    assert experiment_from_json(settings_with(key, off)) == CnnExperiment()
    assert not caplog.messages


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_setting_with_an_effect_is_refused_in_one_sentence(key: str, tmp_path: Path) -> None:
    section, _, name = key.partition(".")
    path = write_recipe(tmp_path, f"{section}: {{{name}: 0.5}}")
    settings = settings_with(key, 0.5)
    sentence = (
        f"{key} was removed: no measurement showed a gain; delete it, or start a new run without it"
    )
    for build in (
        lambda: build_experiment("cnn", recipe=path),
        lambda: build_experiment("cnn", settings={key: 0.5}),
        lambda: build_experiment("cnn", settings={key: None}),
        lambda: experiment_from_json(settings),
        lambda: (AugmentConfig if section == "augment" else TrainingConfig)(**{name: 0.5}),
    ):
        with pytest.raises(ConfigError) as caught:
            build()
        assert str(caught.value) == sentence
    assert experiment_from_json(settings, to_repeat=False) == CnnExperiment()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_experiment_reaches_another_process_unchanged(family: str) -> None:
    experiment = build_experiment(family, settings={"data.labels": {"0": "drop"}, "seed": 7})
    assert pickle.loads(pickle.dumps(experiment)) == experiment


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_mlflow_shows_at_most_20_settings_and_the_usual_ones_first(path: Path) -> None:
    family = path.stem.partition("-")[0]
    shown = main_settings(build_experiment(family, recipe=path, settings={"data.folds": 5}))
    assert len(shown) <= 20
    assert {"family", "seed", "data.source", "data.split", "data.fold"} <= shown.keys()


def test_settings_of_a_search_space_and_changed_ones_are_shown() -> None:
    experiment = build_experiment("cnn", settings={"cnn.dropout": 0.125})
    assert "training.weight_decay" not in main_settings(experiment)
    assert main_settings(experiment)["cnn.dropout"] == 0.125
    assert "training.weight_decay" in main_settings(experiment, ["training.weight_decay"])
