"""Precedence of flags, variables, and the file; errors that name the origin of a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control.resolve import schema_config
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, Endpoint
from dnsd.dns.names import name_from_text
from dnsd.settings.load import MAX_FILE, load
from dnsd.settings.schema import SettingsError, flag_of
from dnsd.zone.zone import Zone


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(flags: dict[str, object], environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(Settings, flags, environ or {})
    return caught.value.problems


class TestPrecedence:
    def test_flag_beats_variable_beats_file_beats_default(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "ttl: 30\nworkers: 3\nudp_size: 1400\n")
        environ = {"DNSD_TTL": "40", "DNSD_WORKERS": "4", "DNSD_CONFIG": path}
        settings = load(Settings, {"ttl": "50"}, environ)
        assert (settings.schema.ttl, settings.worker.count) == (50, 4)
        assert settings.engine.udp_size == 1400
        assert settings.schema.pods == "disabled"
        assert settings.named("ttl") == "--ttl"
        assert settings.named("workers") == "DNSD_WORKERS"
        assert settings.named("udp_size") == f"{path}:3: udp_size"
        assert settings.named("pods") == "--pods"

    def test_a_list_replaces_a_list(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "zone: [a.example, b.example]\n")
        a, b, c = (name_from_text(f"{label}.example.") for label in "abc")
        assert load(Settings, {"config": path}, {}).schema.zones == (a, b)
        flags = {"config": path, "zone": ["c.example"]}
        assert load(Settings, flags, {}).schema.zones == (c,)

    def test_commas_separate_the_items_of_a_variable(self) -> None:
        settings = load(Settings, {}, {"DNSD_LISTEN": "127.0.0.1:53, [::1]:53"})
        assert settings.transport.listen == (
            Endpoint(Address("127.0.0.1", 53)),
            Endpoint(Address("::1", 53)),
        )

    def test_an_empty_variable_and_an_empty_key_are_not_set(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "ttl:\n")
        assert load(Settings, {"config": path}, {"DNSD_WORKERS": ""}) == Settings.of(
            {"config": "--config"}, config=path
        )

    def test_the_commented_file_changes_nothing(self) -> None:
        path = Path(__file__).parents[2] / "config" / "dnsd.yaml"
        found = load(Settings, {"config": str(path)}, {})
        assert found == Settings.of({"config": "--config"}, config=str(path))

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
        assert load(Settings, {}, environ) == Settings()


class TestRefusals:
    """Each problem names the origin of the value, the value, and what is wrong with it."""

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            ({"ttl": "4000"}, "--ttl: 4000 is not in 0 to 3600"),
            ({"ttl": "-1"}, "--ttl: -1 is not in 0 to 3600"),
            ({"ttl": "five"}, "--ttl: five is not a whole number"),
            ({"workers": "0"}, "--workers: 0 is not in 1 to 256"),
            (
                {"listen": ["127.0.0.1"]},
                "--listen: 127.0.0.1 is not an address and port, like 127.0.0.1:1053",
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
                "--listen: [127.0.0.1]:53 needs brackets around an IPv6 address, and only",
            ),
            ({"listen": [",,"]}, "--listen: ,, is not an address and port"),
            (
                {"listen": ["://127.0.0.1:53"]},
                "--listen: ://127.0.0.1:53 has a scheme that is not one of udp://, tcp://",
            ),
            ({"listen": ["udp://53"]}, "--listen: udp://53 is not an address and port"),
            (
                {"listen": ["udp://127.0.0.1:53", "127.0.0.1:53"]},
                "--listen: 127.0.0.1:53 overlaps with udp://127.0.0.1:53, which is in the list too",
            ),
            (
                {"listen": ["0.0.0.0:53", "[::]:53", "127.0.0.1:53"]},
                "--listen: 127.0.0.1:53 overlaps with 0.0.0.0:53, which is in the list too",
            ),
            ({"zone": ["a..b"]}, "--zone: a..b is not a domain name: 'a..b' has an empty label"),
            ({"zone": ["."]}, "--zone: . is not a domain name below the root"),
            (
                {"namespaces": ["team-a,team-b"]},
                "--namespaces: team-a,team-b is not a namespace (a DNS label, RFC 1123);"
                " several are a list, or the flag repeated",
            ),
            ({"namespaces": ["Team"]}, "--namespaces: Team is not a namespace"),
            (
                {"service_cidr": ["10.96.0.1/12"]},
                "--service-cidr: 10.96.0.1/12 has host bits set; the network is 10.96.0.0/12",
            ),
            ({"allow_query": ["everyone"]}, "--allow-query: everyone is not a network"),
            ({"ns_addresses": ["ns1"]}, "--ns-addresses: ns1 is not an IP address"),
            ({"ns_service": "dnsd"}, "--ns-service: dnsd is not a namespace and name"),
            ({"pods": "some"}, "--pods: some is not one of disabled, verified, insecure"),
            ({"tcp_idle_timeout": "soon"}, "--tcp-idle-timeout: soon is not a duration"),
            ({"tcp_idle_timeout": "2h"}, "--tcp-idle-timeout: 2h is not in 100ms to 1h"),
            ({"journal_size": "1XB"}, "--journal-size: 1XB is not a size"),
            ({"journal_size": "1kB"}, "--journal-size: 1kB is not in 64KiB to 4GiB"),
            ({"version_text": "a\nb"}, "--version-text: 'a\\nb' has characters that are not"),
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
    def test_a_bad_flag_is_named_with_its_value(
        self, flags: dict[str, object], sentence: str
    ) -> None:
        (problem,) = problems(flags)
        assert problem.startswith(sentence)

    def test_a_zone_leaves_room_for_the_names_below_it(self) -> None:
        """The longest zone that is read can be served; a longer one is refused."""
        longest = [f"{letter}{'.'.join(['x' * 60] * 4)[3:]}" for letter in "ab"]
        found = load(Settings, {"zone": longest[:1], "outside_zones": longest[1:]}, {})
        zone = Zone(schema_config(found, ()), 1)
        for apex in zone.apexes():
            assert zone.soa(apex)
        for name in ("zone", "outside_zones"):
            (problem,) = problems({name: ["x" + longest[0]]})
            assert problem.startswith(f"{flag_of(name)}: ")
            assert (
                "leaves no room for the names below it; give a zone of at most 243 octets"
                in problem
            )

    def test_a_bad_variable_is_named_with_its_value(self) -> None:
        assert problems({}, {"DNSD_TTL": "x"}) == ("DNSD_TTL: x is not a whole number",)

    def test_an_unknown_variable_is_named_with_the_nearest_setting(self) -> None:
        assert problems({}, {"DNSD_LISTN": "x"}) == (
            "DNSD_LISTN: no such setting; did you mean DNSD_LISTEN?",
        )

    def test_a_file_in_the_place_of_a_directory_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x", "")
        assert problems({"manifests": path}) == (
            f"--manifests: {path} is not a directory; give the directory that contains it",
        )

    @pytest.mark.parametrize(
        ("text", "rest"),
        [
            ("ttl: 1\nmanifets: x\n", ":2: manifets: no such setting; did you mean manifests?"),
            ("zzz: 1\n", ":1: zzz: no such setting; dnsd serve --help lists all"),
            ("config: x\n", ":1: config: no such setting"),
            ("\n\nttl: [1, 2]\n", ":3: ttl: [1, 2] is not a whole number"),
            ("ttl: 1\nttl: 2\n", ":2: ttl: is given twice, first as {path}:1: ttl"),
            ("ttl: true\n", ":1: ttl: true is not a whole number"),
            ("kubernetes: perhaps\n", ":1: kubernetes: perhaps is neither true nor false"),
            ("listen: [{a: 1}]\n", ":1: listen: {'a': 1} is not an address and port"),
            ("listen: []\n", ":1: listen: [] has 0 values, give at least 1"),
            ("version_text: 1\n", ":1: version_text: 1 is not text; put it in quotes"),
            ("- ttl\n", ":1: is not a mapping of settings, like ttl: 5"),
            ("[a]: 1\n", ":1: a key must be a word"),
            ("ttl: 1\n  zone: [\n", ":2:7: is not valid YAML: mapping values are not allowed"),
            ("zone: [a,\n", ":2:1: is not valid YAML: "),
            ("ttl: 1\n---\nttl: 2\n", ":2:1: is not valid YAML: but found another document"),
            ("ttl: !!python/name:os.system\n", ":1:6: is not valid YAML: could not determine"),
            (
                "ttl: " + "[" * 5000,
                ":1:105: is not valid YAML: collections are nested more than 100",
            ),
            ("ttl:\n " + "- " * 400_000, ":2:200: is not valid YAML: collections are nested more"),
            ("ttl: \x00\n", ": is not valid YAML: "),
        ],
    )
    def test_a_bad_file_is_named_with_its_line(self, tmp_path: Path, text: str, rest: str) -> None:
        path = write(tmp_path / "dnsd.yaml", text)
        (problem,) = problems({"config": path})
        assert problem.startswith(path + rest.replace("{path}", path))
        assert "\n" not in problem

    def test_octets_that_are_not_utf_8_are_not_valid_yaml(self, tmp_path: Path) -> None:
        (tmp_path / "dnsd.yaml").write_bytes(b"ttl: \xff\xfe\xfa\n")
        (problem,) = problems({"config": str(tmp_path / "dnsd.yaml")})
        assert "is not valid YAML" in problem

    def test_a_file_that_is_too_large_is_refused(self, tmp_path: Path) -> None:
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

    def test_all_problems_are_reported_at_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "dnsd.yaml", "ttl: x\nzonee: y\n")
        found = problems({"config": path, "workers": "x"}, {"DNSD_PODS": "x"})
        assert len(found) == 4
