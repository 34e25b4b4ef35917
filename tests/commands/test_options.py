"""Flags of settings: their forms, the groups of a command, and the error for a stray argument."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from dnsd.commands.options import SettingsCommand, settings_command, settings_from
from dnsd.control.settings import Settings
from dnsd.settings.schema import Group, declared, flag_of

ALL = SettingsCommand("all")


def flags_of(command: click.Command) -> set[str]:
    return {flag for param in command.params for flag in param.opts}


def parsed(*arguments: str) -> Settings:
    return settings_from(ALL.make_context("all", [*arguments]).params, {})


def help_of(command: click.Command) -> str:
    return command.get_help(click.Context(command, terminal_width=200))


class TestFlags:
    def test_every_setting_is_a_flag(self) -> None:
        assert flags_of(ALL) == {flag_of(name) for name in declared(Settings)}

    def test_a_command_has_the_flags_of_its_groups_and_the_file(self) -> None:
        command = SettingsCommand("some", groups=[Group.SOURCES])
        settings = {name: one.setting for name, one in declared(Settings).items()}
        names = [name for name in settings if settings[name].group is Group.SOURCES]
        assert flags_of(command) == {"--config", *map(flag_of, names)}

    def test_a_flag_of_a_list_may_be_repeated(self) -> None:
        settings = parsed("--listen", "127.0.0.1:1", "--listen", "[::1]:1")
        assert [str(one) for one in settings.transport.listen] == ["127.0.0.1:1", "[::1]:1"]

    def test_a_switch_has_a_flag_for_each_of_its_values(self) -> None:
        assert not parsed("--no-prefetch").upstream.prefetch
        assert parsed("--prefetch").upstream.prefetch

    def test_a_flag_that_is_not_given_leaves_the_variable_in_force(self) -> None:
        context = ALL.make_context("all", ["--ttl", "7"])
        settings = settings_from(context.params, {"DNSD_TTL": "9", "DNSD_WORKERS": "3"})
        assert (settings.schema.ttl, settings.worker.count) == (7, 3)

    def test_other_parameters_of_a_command_are_not_settings(self) -> None:
        assert settings_from({"ttl": "7", "name": "web"}, {}).schema.ttl == 7


class TestHelp:
    def test_the_groups_are_in_their_order(self) -> None:
        lines = help_of(ALL).splitlines()
        headings = [line[:-1] for line in lines if line[:-1] in set(Group)]
        assert headings == [*Group]

    def test_a_flag_has_its_default_and_a_list_may_be_repeated(self) -> None:
        text = help_of(ALL)
        assert "Seconds for which resolvers may cache an answer or a negative answer. [5]" in text
        assert "Repeatable. [cluster.local]" in text

    def test_the_docstring_comes_before_the_examples(self) -> None:
        @settings_command("bake", "dnsd bake cake", groups=())
        def bake(**params: object) -> None:
            """Bake."""

        text = help_of(bake)
        assert 0 < text.index("Bake.") < text.index("Examples:\n    dnsd bake cake")


class TestStrayArguments:
    def test_the_error_names_the_flag_that_was_meant(self, tmp_path: Path) -> None:
        (tmp_path / "dnsd.yaml").touch()
        for word, remedy in (
            (str(tmp_path), f"--manifests {tmp_path}"),
            (str(tmp_path / "dnsd.yaml"), f"--config {tmp_path}/dnsd.yaml"),
            ("web", "give settings as --flag VALUE"),
        ):
            with pytest.raises(click.UsageError, match=f"^{word}: .*{remedy}"):
                parsed(word)
