"""Settings: one declaration, three ways to set it, and errors that name the culprit."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dnsd.control.settings import schema_config
from dnsd.dns.addresses import Address, Endpoint
from dnsd.settings.kinds import BadValue, duration, show_duration, show_size, size
from dnsd.settings.load import MAX_FILE, load
from dnsd.settings.schema import (
    Settings,
    SettingsError,
    changed,
    declared,
    effective,
    flag_of,
    keep,
    variable_of,
)
from dnsd.transport.stream import StreamLimits
from dnsd.zone.zone import Zone

NAMES = list(declared())


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(flags: dict[str, object], environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ or {})
    return caught.value.problems


class TestDeclaration:
    def test_every_field_but_origins_is_a_setting(self) -> None:
        assert [*NAMES, "origins"] == list(Settings.__struct_fields__)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_default_is_of_its_kind(self, name: str) -> None:
        """The text of a default, as the YAML file shows it, is read back as the default."""
        kind, default = declared()[name].kind, getattr(Settings(), name)
        assert kind.parse(yaml.safe_load(kind.show(default))) == default

    @pytest.mark.parametrize("name", [name for name in NAMES if declared()[name].example])
    def test_an_example_is_valid_yaml(self, name: str) -> None:
        setting = declared()[name]
        value = yaml.safe_load(setting.example)
        assert value not in (None, "")
        if setting.kind.metavar not in ("DIR", "FILE"):  # those must exist
            assert setting.kind.parse(value) != getattr(Settings(), name)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_help_is_made_of_sentences(self, name: str) -> None:
        assert re.fullmatch(r"[A-Z].*[.]", declared()[name].help)

    @pytest.mark.parametrize("name", NAMES)
    def test_no_variable_looks_like_a_service_link(self, name: str) -> None:
        """Kubernetes sets DNSD_…_PORT and DNSD_…_SERVICE_HOST for Services called dnsd…"""
        assert not re.search(r"_PORT$|_SERVICE_(HOST|PORT)$", variable_of(name))

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            Settings().ttl = 6  # type: ignore[misc]


class TestPrecedence:
    def test_flag_beats_variable_beats_file_beats_default(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "ttl: 30\nworkers: 3\nudp_size: 1400\n")
        environ = {"DNSD_TTL": "40", "DNSD_WORKERS": "4", "DNSD_CONFIG": path}
        settings = load({"ttl": "50"}, environ)
        assert (settings.ttl, settings.workers, settings.udp_size) == (50, 4, 1400)
        assert settings.pods == "disabled"
        assert settings.named("ttl") == "--ttl"
        assert settings.named("workers") == "DNSD_WORKERS"
        assert settings.named("udp_size") == f"{path}:3: udp_size"
        assert settings.named("pods") == "--pods"

    def test_a_list_replaces_a_list(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "zone: [a.example, b.example]\n")
        assert load({"config": path}, {}).zone == ("a.example", "b.example")
        assert load({"config": path, "zone": ["c.example"]}, {}).zone == ("c.example",)

    def test_a_variable_lists_with_commas(self) -> None:
        settings = load({}, {"DNSD_LISTEN": "127.0.0.1:53, [::1]:53"})
        assert settings.listen == (
            Endpoint(Address("127.0.0.1", 53)),
            Endpoint(Address("::1", 53)),
        )

    def test_an_empty_variable_and_an_empty_key_are_not_set(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "ttl:\n")
        assert load({"config": path}, {"DNSD_WORKERS": ""}) == msgspec.structs.replace(
            Settings(), config=path, origins={"config": "--config"}
        )

    def test_the_commented_file_changes_nothing(self) -> None:
        path = Path(__file__).parents[2] / "config" / "dnsd.yaml"
        assert effective(load({"config": str(path)}, {})) == {
            **effective(Settings()),
            "config": str(path),
        }

    def test_variables_that_kubernetes_sets_for_a_service_are_passed_over(self) -> None:
        environ = {
            "DNSD_SERVICE_HOST": "10.96.0.10",
            "DNSD_SERVICE_PORT": "53",
            "DNSD_SERVICE_PORT_DNS_TCP": "53",
            "DNSD_PORT": "udp://10.96.0.10:53",
            "DNSD_PORT_53_UDP_ADDR": "10.96.0.10",
            "DNSD_ADMIN_SERVICE_HOST": "10.96.0.11",
            "DNSD_ADMIN_PORT_8053_TCP": "tcp://10.96.0.11:8053",
            "PATH": "/bin",
        }
        assert load({}, environ) == Settings()


class TestRefusals:
    """Each says who said it, and what."""

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            ({"ttl": "4000"}, "--ttl: 4000 is not in 0 to 3600"),
            ({"ttl": "-1"}, "--ttl: -1 is not in 0 to 3600"),
            ({"ttl": "five"}, "--ttl: five is not a whole number"),
            ({"workers": "0"}, "--workers: 0 is not in 1 to 256"),
            (
                {"listen": ["127.0.0.1"]},
                "--listen: 127.0.0.1 is no address and port, like 127.0.0.1:1053 or '[::1]:1053'",
            ),
            (
                {"listen": ["localhost:53"]},
                "--listen: localhost:53 has 'localhost' where an IP address belongs",
            ),
            (
                {"listen": ["127.0.0.1:70000"]},
                "--listen: 127.0.0.1:70000 has port 70000, which is not in 0 to 65535",
            ),
            (
                {"listen": ["[127.0.0.1]:53"]},
                "--listen: [127.0.0.1]:53 needs brackets around an IPv6 address, and only there",
            ),
            ({"listen": [",,"]}, "--listen: ,, is no address and port"),
            (
                {"listen": ["://127.0.0.1:53"]},
                "--listen: ://127.0.0.1:53 has no scheme before ://, like udp://127.0.0.1:1053",
            ),
            ({"listen": ["udp://53"]}, "--listen: udp://53 is no address and port"),
            (
                {"listen": ["udp://127.0.0.1:53", "127.0.0.1:53"]},
                "--listen: 127.0.0.1:53 overlaps with udp://127.0.0.1:53, which is there too",
            ),
            (
                {"listen": ["0.0.0.0:53", "[::]:53", "127.0.0.1:53"]},
                "--listen: 127.0.0.1:53 overlaps with 0.0.0.0:53, which is there too",
            ),
            ({"zone": ["a..b"]}, "--zone: a..b is no domain name: 'a..b' has an empty label"),
            ({"zone": ["."]}, "--zone: . is no domain name below the root"),
            (
                {"namespaces": ["team-a,team-b"]},
                "--namespaces: team-a,team-b is no namespace (a DNS label, RFC 1123);"
                " several are a list, or the flag repeated",
            ),
            ({"namespaces": ["Team"]}, "--namespaces: Team is no namespace"),
            (
                {"service_cidr": ["10.96.0.1/12"]},
                "--service-cidr: 10.96.0.1/12 has host bits set; the network is 10.96.0.0/12",
            ),
            ({"allow_query": ["everyone"]}, "--allow-query: everyone is no network"),
            ({"ns_addresses": ["ns1"]}, "--ns-addresses: ns1 is no IP address"),
            ({"ns_service": "dnsd"}, "--ns-service: dnsd is no namespace and name"),
            ({"pods": "some"}, "--pods: some is none of disabled, verified, insecure"),
            ({"tcp_idle_timeout": "soon"}, "--tcp-idle-timeout: soon is no duration"),
            ({"tcp_idle_timeout": "2h"}, "--tcp-idle-timeout: 2h is not in 100ms to 1h"),
            ({"journal_size": "1XB"}, "--journal-size: 1XB is no size"),
            ({"journal_size": "1kB"}, "--journal-size: 1kB is not in 64KiB to 4GiB"),
            ({"version_text": "a\nb"}, "--version-text: 'a\\nb' has characters that cannot be"),
            (
                {"nsid": "ä" * 128},
                "--nsid: '" + "ä" * 37 + "..." + "ä" * 38 + "' has 256 octets, the limit is 255;"
                " shorten it",
            ),
            ({"version_text": "v" * 256}, "--version-text: 'vvv"),
            ({"id_text": "i" * 256}, "--id-text: 'iii"),
            ({"manifests": "/nonexistent/x"}, "--manifests: /nonexistent/x does not exist"),
            ({"kubeconfig": "/"}, "--kubeconfig: / is a directory, not a file"),
            ({"config": "/nonexistent.yaml"}, "--config: /nonexistent.yaml does not exist"),
            (
                {"state_dir": "/nonexistent/x/y"},
                "--state-dir: /nonexistent/x/y cannot be made: /nonexistent/x does not exist",
            ),
        ],
    )
    def test_a_bad_flag(self, flags: dict[str, object], sentence: str) -> None:
        (problem,) = problems(flags)
        assert problem.startswith(sentence)

    def test_a_zone_leaves_room_for_the_names_below_it(self) -> None:
        """The longest that is read can be served, inside and outside; the next one is told."""
        longest = [f"{letter}{'.'.join(['x' * 60] * 4)[3:]}" for letter in "ab"]
        found = load({"zone": longest[:1], "outside_zones": longest[1:]}, {})
        zone = Zone(schema_config(found, ()), 1)
        for apex in zone.apexes():
            assert zone.soa(apex)
        for name in ("zone", "outside_zones"):
            (problem,) = problems({name: ["x" + longest[0]]})
            assert problem.startswith(f"{flag_of(name)}: ")
            assert "leaves no room for the names below it; give a zone of 243 octets" in problem

    def test_a_bad_variable(self) -> None:
        assert problems({}, {"DNSD_TTL": "x"}) == ("DNSD_TTL: x is not a whole number",)

    def test_an_unknown_variable_and_its_nearest(self) -> None:
        assert problems({}, {"DNSD_LISTN": "x"}) == (
            "DNSD_LISTN: no such setting; did you mean DNSD_LISTEN?",
        )

    def test_a_file_where_a_directory_belongs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x", "")
        assert problems({"manifests": path}) == (
            f"--manifests: {path} is not a directory; give the one that it is in",
        )

    @pytest.mark.parametrize(
        ("text", "rest"),
        [
            ("ttl: 1\nmanifets: x\n", ":2: manifets: no such setting; did you mean manifests?"),
            ("zzz: 1\n", ":1: zzz: no such setting; dnsd serve --help shows all"),
            ("config: x\n", ":1: config: no such setting"),
            ("\n\nttl: [1, 2]\n", ":3: ttl: [1, 2] is not a whole number"),
            ("ttl: 1\nttl: 2\n", ":2: ttl: is given twice, first as {path}:1: ttl"),
            ("ttl: true\n", ":1: ttl: true is not a whole number"),
            ("kubernetes: perhaps\n", ":1: kubernetes: perhaps is neither true nor false"),
            ("listen: [{a: 1}]\n", ":1: listen: {'a': 1} is no address and port"),
            ("listen: []\n", ":1: listen: [] has 0 values, at least 1 must be there"),
            ("version_text: 1\n", ":1: version_text: 1 is not text; put it in quotes"),
            ("- ttl\n", ":1: is no mapping of settings, like ttl: 5"),
            ("[a]: 1\n", ":1: a key must be a word"),
            ("ttl: 1\n  zone: [\n", ":2:7: is not valid YAML: mapping values are not allowed"),
            ("zone: [a,\n", ":2:1: is not valid YAML: "),
            ("ttl: 1\n---\nttl: 2\n", ":2:1: is not valid YAML: but found another document"),
            ("ttl: !!python/name:os.system\n", ":1:6: is not valid YAML: could not determine"),
            ("ttl: " + "[" * 5000, ""),
            ("ttl: \x00\n", ": is not valid YAML: "),
        ],
    )
    def test_a_bad_file(self, tmp_path: Path, text: str, rest: str) -> None:
        path = write(tmp_path / "dnsd.yaml", text)
        (problem,) = problems({"config": path})
        assert problem.startswith(path + rest.replace("{path}", path))
        assert "\n" not in problem

    def test_bytes_that_are_not_utf_8(self, tmp_path: Path) -> None:
        (tmp_path / "dnsd.yaml").write_bytes(b"ttl: \xff\xfe\xfa\n")
        (problem,) = problems({"config": str(tmp_path / "dnsd.yaml")})
        assert "is not valid YAML" in problem

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "# " + "x" * MAX_FILE)
        (problem,) = problems({"config": path})
        assert problem.startswith(f"{path}: is over {MAX_FILE} bytes")

    def test_aliases_that_multiply_make_a_short_error(self, tmp_path: Path) -> None:
        lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
        lines += [
            f"{new}: &{new} [{', '.join(['*' + old] * 9)}]"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ]
        path = write(tmp_path / "dnsd.yaml", "\n".join([*lines, "ttl: *i", "zone: *i"]))
        found = problems({"config": path})
        assert len(found) == 11
        assert max(map(len, found)) < 400

    def test_all_problems_are_told_at_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "ttl: x\nzonee: y\n")
        found = problems({"config": path, "workers": "x"}, {"DNSD_PODS": "x"})
        assert len(found) == 4


class TestHelp:
    """What a help says of other parts is what they do."""

    def test_the_time_of_a_message_is_the_transports(self) -> None:
        seconds = StreamLimits().message_timeout
        assert f"A message has {seconds:g} s " in declared()["tcp_idle_timeout"].help


class TestReload:
    def test_what_changed_is_split_by_what_a_running_dnsd_can_change(self) -> None:
        new = load({"ttl": "6", "workers": "2"}, {})
        assert changed(Settings(), new) == (["ttl"], ["workers"])
        kept = keep(Settings(), new, ["workers"])
        assert (kept.ttl, kept.workers) == (6, 1)


class TestKinds:
    @given(st.integers(1, 10**9))
    @hypothesis_settings(max_examples=50, deadline=None)
    def test_a_duration_is_read_as_it_is_shown(self, milliseconds: int) -> None:
        value = duration(0, 10**9).parse(show_duration(milliseconds / 1000))
        assert value == pytest.approx(milliseconds / 1000, rel=1e-5)

    @given(st.integers(0, 2**40))
    @hypothesis_settings(max_examples=50, deadline=None)
    def test_a_size_is_read_as_it_is_shown(self, octets: int) -> None:
        assert size(0, 2**40).parse(show_size(octets)) == octets

    @pytest.mark.parametrize(
        ("text", "seconds"), [("1m30s", 90), ("2", 2), (0.5, 0.5), ("1.5s", 1.5), ("1d", 86400)]
    )
    def test_durations(self, text: object, seconds: float) -> None:
        assert duration(0, 10**6).parse(text) == seconds

    @given(
        st.sampled_from(NAMES),
        st.one_of(
            st.text(max_size=20),
            st.integers(),
            st.floats(),
            st.booleans(),
            st.none(),
            st.lists(st.text(max_size=5), max_size=3),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
            st.dates(),
        ),
    )
    @hypothesis_settings(max_examples=300, deadline=None)
    def test_any_value_is_read_or_refused_in_words(self, name: str, value: object) -> None:
        kind = declared()[name].kind
        try:
            read = kind.parse(value)
        except BadValue as error:
            read = str(error)[:500]
        assert type(read) in (str, int, float, bool, tuple, Address, Endpoint, type(None))
        assert read != "" or value == ""

    def test_flags_and_variables_are_spelled_from_the_name(self) -> None:
        assert flag_of("tcp_idle_timeout") == "--tcp-idle-timeout"
        assert variable_of("tcp_idle_timeout") == "DNSD_TCP_IDLE_TIMEOUT"
