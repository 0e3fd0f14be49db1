from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from msflow_stream.config.loading import differences, load, load_for_scoring
from msflow_stream.config.settings import EventSettings, ModelSettings, ScoreSettings, Settings
from msflow_stream.types import UserError
from tests.support.data import REPOSITORY

CONFIGS = REPOSITORY / "configs"


def written(folder: Path, text: str) -> Path:
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    return folder / "settings.yaml"


def complaint(override: str) -> str:
    try:
        load(None, [override])
    except UserError as error:
        return str(error)
    return ""


def test_nothing_given_is_the_defaults() -> None:
    assert load() == Settings()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "fit:\n", "fit:\n  # passes: 3\nmodel:\n"])
def test_an_empty_file_or_section_is_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(written(tmp_path, text)) == Settings()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[!.]*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_that_we_ship_loads(path: Path) -> None:
    if path.stem.startswith("cameras"):
        pytest.skip("a list of cameras, not settings")
    assert load(path) != Settings()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fit.passes=3", 3),
        (" fit.passes = 3", 3),
        ("fit.learning_rate=1e-4", 1e-4),
        ("fit.learning_rate=3.0e-4", 3e-4),
        ("input.size=[128, 192]", (128, 192)),
        ("model.fusion=false", False),
        ("model.weights=random", "random"),
        ("model.weights=/data/a=b.safetensors", "/data/a=b.safetensors"),
        ("score.threshold=null", None),
        ("score.threshold=", None),
        ("score.threshold=-1.5", -1.5),
        ("fit.milestones=[]", ()),
        ("event.triggers=[surprise]", ("surprise",)),
        ("event.triggers=null", None),
        ("event.leave=1", 1.0),
    ],
)
def test_an_override_sets_one_value_read_as_yaml(override: str, expected: object) -> None:
    section, _, name = override.partition("=")[0].strip().partition(".")
    settings = load(None, [override])
    assert getattr(getattr(settings, section), name) == expected
    assert settings.model_dump(exclude_unset=True) == {section: {name: expected}}


@pytest.mark.parametrize("override", ["fit.passes", "passes=3", "=3", "", "fit=3", "fit.passes:3"])
def test_an_override_of_another_form_says_how_one_looks(override: str) -> None:
    with pytest.raises(UserError, match=r"section.key=value, such as fit.passes=8"):
        load(None, [override])


@given(st.text(max_size=12) | st.sampled_from(["2020-13-45", "0x_", "9" * 5000, "&a [*a]", "!!python/none", "*a", "}"]))
def test_any_value_of_an_override_is_taken_or_a_user_error_of_one_line(text: str) -> None:
    for name in ("fit.passes", "model.weights", "input.size"):
        assert len(complaint(f"{name}={text}").splitlines()) <= 1


def test_a_file_wins_over_the_base_and_an_override_over_the_file_and_a_later_one_over_an_earlier(
    tmp_path: Path,
) -> None:
    base = load(None, ["fit.passes=1", "fit.batch=1", "fit.seed=1", "fit.clip=1", "score.every=1"])
    path = written(tmp_path, "fit: {passes: 2, batch: 2, seed: 2}\n")
    fit = load(path, ["fit.passes=3", "fit.batch=3", "fit.passes=4"], base).fit
    assert (fit.passes, fit.batch, fit.seed, fit.clip) == (4, 3, 2, 1)
    assert load(path, [], base).score.every == 1
    assert load(path).fit.clip == Settings().fit.clip


def test_an_empty_section_of_a_file_keeps_the_base(tmp_path: Path) -> None:
    base = load(None, ["fit.passes=3"])
    assert load(written(tmp_path, "fit:\n  # passes: 5\n"), [], base) == base


def test_loading_changes_neither_the_base_nor_the_defaults(tmp_path: Path) -> None:
    base = Settings(model=ModelSettings(blocks=(1, 2, 3)))
    before = base.model_dump()
    load(written(tmp_path, "model: {blocks: [4, 4, 4]}\n"), ["fit.passes=3"], base)
    assert base.model_dump() == before
    assert load() == Settings()


def test_a_list_is_replaced_and_not_merged(tmp_path: Path) -> None:
    path = written(tmp_path, "model: {blocks: [4, 5, 6]}\n")
    settings = load(path, ["model.stages=[2, 3]", "model.blocks=[7, 8]"])
    assert settings.model.blocks == (7, 8)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("fit.pases", "fit.passes"),
        ("fit.lerning_rate", "fit.learning_rate"),
        ("score.smooting", "score.smoothing"),
        ("model.backbne", "model.backbone"),
        ("input.sise", "input.size"),
        ("fit.weights_seeds", "model.weights_seed"),
        ("scor.every", "score"),
        ("fits.passes", "fit"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(tmp_path: Path, name: str, nearest: str) -> None:
    section, key = name.split(".")
    unknown = rf"unknown setting '{section}(\.{key})?': did you mean '{nearest}'\?"
    with pytest.raises(UserError, match=unknown):
        load(None, [f"{name}=3"])
    with pytest.raises(UserError, match=unknown):
        load(written(tmp_path, yaml.safe_dump({section: {key: 3}})))


@pytest.mark.parametrize(
    "text", ["passes: 3\n", "1: 2\n", "fit: {1: 2}\n", '"": 3\n', '"a\\nb": 3\n', "fit: {fit: {}}\n"]
)
def test_an_odd_key_is_a_user_error_of_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as error:
        load(written(tmp_path, text))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("fit.passes=0", "fit.passes"),
        ("fit.passes=two", "fit.passes"),
        ("fit.passes=2.5", "fit.passes"),
        ("fit.holdout=0.6", "fit.holdout"),
        ("fit.milestones=[0.5, 1.5]", "fit.milestones.1"),
        ("fit.learning_rate=.nan", "fit.learning_rate"),
        ("fit.cache_dtype=float64", "fit.cache_dtype"),
        ("input.size=[256]", "input.size.1"),
        ("input.size=[16, 256]", "input.size.0"),
        ("model.stages=[1, 2, 5]", "model.stages.2"),
        ("model.stages=[]", "model.stages"),
        ("model.condition_channels=6", "model.condition_channels"),
        ("score.top_k=0", "score.top_k"),
        ("score.every=0", "score.every"),
        ("score.kind=best", "score.kind"),
        ("event.triggers=[]", "event.triggers"),
        ("event.triggers=[best]", "event.triggers.0"),
        ("event.leave=1.1", "event.leave"),
        ("event.min_duration=-0.1", "event.min_duration"),
        ("event.cool_down=.inf", "event.cool_down"),
        ("fit.passes.more=3", "fit.passes"),
    ],
)
def test_a_value_out_of_range_is_an_error_of_one_line_that_names_setting_and_value(override: str, name: str) -> None:
    with pytest.raises(UserError, match=rf"^setting {name}: .*\(found .*\)$"):
        load(None, [override])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.blocks=[2, 5]", "3 stages need 3 block counts, not 2"),
        ("model.stages=[3, 2, 1]", "stages must ascend without repetition"),
        ("model.stages=[1, 1, 2]", "stages must ascend without repetition"),
    ],
)
def test_stages_and_blocks_must_agree(override: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^setting model: {says}$"):
        load(None, [override])


def test_a_kernel_without_pooling_is_refused() -> None:
    with pytest.raises(UserError, match="pool is none, so pool_kernel=5 would change nothing"):
        load(None, ["model.pool=none", "model.pool_kernel=5"])


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "\tfit: 3",
        "fit: {passes: 3}\n---\nfit:\n",
        "? [a]\n: b",
        "fit: 2020-13-45",
        "fit: !!python/name:os.system",
    ],
)
def test_a_file_that_is_no_yaml_is_an_error_of_one_line_that_names_it(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=f"^{path} is not YAML: .*$"):
        load(path)


def test_a_file_that_is_no_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_bytes(b"\x80\xff")
    with pytest.raises(UserError, match=r"settings\.yaml is not YAML"):
        load(tmp_path / "settings.yaml")


@pytest.mark.parametrize(("text", "kind"), [("- fit\n", "list"), ("fit\n", "str"), ("3\n", "int")])
def test_a_file_without_sections_says_what_it_should_hold(tmp_path: Path, text: str, kind: str) -> None:
    with pytest.raises(UserError, match=f"should hold sections such as 'model:' and 'fit:', not a {kind}"):
        load(written(tmp_path, text))


def test_a_file_that_is_missing_or_a_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(UserError, match=f"cannot read the settings file {path}"):
            load(path)


def test_settings_cannot_change_once_they_are_loaded() -> None:
    with pytest.raises(ValidationError):
        load().fit.passes = 3


def test_settings_survive_being_stored_as_json() -> None:
    settings = load(None, ["model.blocks=[1, 2, 3]", "score.threshold=2.5", "fit.cache_memory=0.5"])
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_the_score_settings_of_a_scene_can_change(tmp_path: Path) -> None:
    fitted = load(None, ["fit.passes=3", "score.every=2", "score.smoothing=1"])
    path = written(tmp_path, "score: {smoothing: 2, top_k: 0.5}\n")
    changed = load_for_scoring(fitted, path, ["score.top_k=0.25"]).score
    assert changed == ScoreSettings(every=2, smoothing=2, top_k=0.25)
    assert load_for_scoring(fitted).score == fitted.score


@pytest.mark.parametrize("override", ["model.fusion=false", "input.size=[64, 64]", "fit.passes=99"])
def test_what_a_fit_fixed_cannot_change_afterwards(tmp_path: Path, override: str) -> None:
    section = override.partition(".")[0]
    with pytest.raises(UserError, match=f"^{section} settings were fixed when the scene was fitted"):
        load_for_scoring(Settings(), None, [override])
    name, _, value = override.partition(".")[2].partition("=")
    with pytest.raises(UserError, match=f"^{section} settings were fixed"):
        load_for_scoring(Settings(), written(tmp_path, f"{section}:\n  {name}: {value}\n"))


def test_the_file_of_the_fit_can_be_given_again_with_other_score_settings(tmp_path: Path) -> None:
    path = written(tmp_path, "model:\nfit: {passes: 3}\nscore: {every: 2}\n")
    fitted = load(path, ["model.blocks=[1, 1, 1]"])
    assert load_for_scoring(fitted, path, ["score.every=1"]).score.every == 1


def test_event_settings_can_change_after_the_fit_as_score_settings_can() -> None:
    fitted = load(None, ["fit.passes=3", "event.leave=0.5"])
    changed = load_for_scoring(fitted, None, ["event.cool_down=2", "score.every=1"])
    assert changed.event == EventSettings(leave=0.5, cool_down=2)
    assert changed.score.every == 1
    assert changed.fit == fitted.fit


def test_a_trigger_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"^setting event.triggers: a kind of score is named twice: paper, paper$"):
        load(None, ["event.triggers=[paper, paper]"])


def test_settings_of_an_older_program_differ_in_what_it_knew_only() -> None:
    now = load(None, ["fit.passes=3", "event.leave=0.5"]).model_dump(mode="json")
    then = Settings().model_dump(mode="json", exclude={"event"})
    assert differences(then, now) == [f"fit.passes was {Settings().fit.passes}, is 3"]
