"""A declaration is the whole of a setting; sections are composed into the settings of a run."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import pytest
import yaml
from msgspec import Struct

from dnsd.control.settings import Settings
from dnsd.settings import docs
from dnsd.settings.kinds import integer
from dnsd.settings.load import load
from dnsd.settings.schema import (
    BadSetting,
    Composed,
    Group,
    Setting,
    SettingsError,
    changed,
    declared,
    flag_of,
    keep,
    prefixed,
    variable_of,
)
from dnsd.transport.limits import StreamLimits

SETTINGS = {name: one.setting for name, one in declared(Settings).items()}


# A package `ovens`, which declares a setting in five lines.
class OvenConfig(Struct, frozen=True, rename=prefixed("oven_")):
    # fmt: off
    heat: Annotated[int, Setting(Group.LIMITS, integer(0, 300),
        "Heat of the oven in degrees.",
        "200",
        reload=True)] = 180
    # fmt: on
    doors: int = 1


class Kitchen(Composed, frozen=True, kw_only=True):
    oven: OvenConfig = OvenConfig()


class TestOneDeclarationIsTheWholeSetting:
    def test_the_flag_overrides_the_variable_and_its_section_has_the_value(self) -> None:
        assert load(Kitchen, {}, {}).oven == OvenConfig(heat=180)
        assert load(Kitchen, {}, {"DNSD_OVEN_HEAT": "20"}).oven == OvenConfig(heat=20)
        found = load(Kitchen, {"oven_heat": "30"}, {"DNSD_OVEN_HEAT": "20"})
        assert (found.oven.heat, found.named("oven_heat")) == (30, "--oven-heat")

    def test_the_kind_refuses_a_value_and_the_error_names_its_origin(self) -> None:
        with pytest.raises(SettingsError, match=r"^DNSD_OVEN_HEAT: 301 is not in 0 to 300$"):
            load(Kitchen, {}, {"DNSD_OVEN_HEAT": "301"})

    def test_the_reference_and_the_commented_file_have_it(self) -> None:
        page, file = docs.markdown(Kitchen), docs.yaml_text(Kitchen)
        for text in (
            "## Limits",
            "### oven_heat",
            "Heat of the oven in degrees.",
            "`--oven-heat N`",
        ):
            assert text in page
        assert "number, 0 to 300, *live*." in page
        assert "Default: `180`. Example: `200`." in page
        assert "#oven_heat: 180" in file.splitlines()

    def test_its_effective_value_is_reported(self) -> None:
        assert Kitchen.of(oven_heat=7).effective() == {"oven_heat": "7"}

    def test_a_reload_can_change_it(self) -> None:
        assert changed(Kitchen(), Kitchen.of(oven_heat=7)) == (["oven_heat"], [])

    def test_its_section_crosses_a_process_boundary_as_it_is(self) -> None:
        section = OvenConfig(heat=7, doors=2)
        packed = msgspec.msgpack.encode(section)
        assert msgspec.msgpack.decode(packed, type=OvenConfig) == section

    def test_a_field_without_a_declaration_is_not_a_setting(self) -> None:
        assert list(declared(Kitchen)) == ["oven_heat"]
        with pytest.raises(TypeError, match="no such setting: oven_doors"):
            Kitchen.of(oven_doors=2)

    def test_two_settings_cannot_have_one_name(self) -> None:
        class Twice(Composed, frozen=True, kw_only=True):
            one: OvenConfig = OvenConfig()
            two: OvenConfig = OvenConfig()

        with pytest.raises(TypeError, match="one name"):
            declared(Twice)


@pytest.mark.parametrize("name", SETTINGS)
class TestEverySetting:
    def test_its_default_is_of_its_kind(self, name: str) -> None:
        """The text of a default, as the YAML file shows it, is read back as the default."""
        kind, default = SETTINGS[name].kind, Settings().value(name)
        assert kind.parse(yaml.safe_load(kind.show(default))) == default

    def test_its_example_is_valid_yaml_and_not_the_default(self, name: str) -> None:
        setting = SETTINGS[name]
        if setting.example:
            value = yaml.safe_load(setting.example)
            assert value not in (None, "")
            if setting.kind.metavar not in ("DIR", "FILE"):  # those must exist
                assert setting.kind.parse(value) != Settings().value(name)

    def test_its_help_is_made_of_sentences(self, name: str) -> None:
        assert re.fullmatch(r"[A-Z].*[.]", SETTINGS[name].help)

    def test_the_help_of_a_list_states_what_an_empty_list_means(self, name: str) -> None:
        setting = SETTINGS[name]
        assert setting.kind.many == (re.search(r"(^|[.] )Empty: .*[.]$", setting.help) is not None)

    def test_its_variable_does_not_look_like_one_of_a_service(self, name: str) -> None:
        """Kubernetes sets DNSD_..._PORT and DNSD_..._SERVICE_HOST for Services named dnsd-..."""
        assert not re.search(r"_PORT$|_SERVICE_(HOST|PORT)$", variable_of(name))


def test_the_settings_are_in_the_order_of_their_groups() -> None:
    groups = [setting.group for setting in SETTINGS.values()]
    assert groups == sorted(groups, key=list(Group).index)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().schema.ttl = 6  # type: ignore[misc]


def test_the_sections_are_plain_data() -> None:
    settings = load(Settings, {"listen": ["[::1]:53"], "forward": [".=192.0.2.1"]}, {})
    packed = msgspec.msgpack.encode(settings)
    assert msgspec.msgpack.decode(packed, type=Settings) == settings


def test_the_help_of_the_idle_timeout_states_the_time_of_a_message() -> None:
    seconds = StreamLimits().message_timeout
    assert f"A message has {seconds:g} s " in SETTINGS["tcp_idle_timeout"].help


def test_a_changed_setting_is_live_or_needs_a_restart() -> None:
    new = load(Settings, {"ttl": "6", "workers": "2"}, {})
    assert changed(Settings(), new) == (["ttl"], ["workers"])
    kept = keep(Settings(), new, ["workers"])
    assert (kept.schema.ttl, kept.worker.count) == (6, 1)


def test_the_path_of_the_file_never_needs_a_restart() -> None:
    assert changed(Settings(), Settings.of(config="dnsd.yaml")) == ([], [])


def test_an_error_of_a_package_gets_the_origin_of_the_value() -> None:
    settings = Settings.of({"ttl": "dnsd.yaml:3: ttl"}, ttl=6)
    for name, origin in (("ttl", "dnsd.yaml:3: ttl"), ("state_dir", "--state-dir")):
        with pytest.raises(SettingsError) as caught, settings.naming():
            raise BadSetting(name, "cannot be used")
        assert caught.value.problems == (f"{origin}: cannot be used",)


def test_flags_and_variables_are_spelled_from_the_name() -> None:
    assert flag_of("tcp_idle_timeout") == "--tcp-idle-timeout"
    assert variable_of("tcp_idle_timeout") == "DNSD_TCP_IDLE_TIMEOUT"
