"""docs/kubernetes.md and its examples agree with the settings, the log, and the chart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dnsd.control.settings import Settings
from dnsd.settings.schema import Group, declared
from tests.serving import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
STUB = ROOT / "config" / "examples" / "coredns-stub-domain"
LAPTOP = ROOT / "config" / "examples" / "kubeconfig"
GOLDEN = yaml.safe_load((ROOT / "tests" / "helm" / "clusterrole.yaml").read_text())
TROUBLE = PAGE.partition("## When something is wrong")[2]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", "\n".join(line.partition("#")[0] for line in text.splitlines()))


def test_each_setting_of_the_source_is_on_the_page():
    settings = [
        name for name, one in declared(Settings).items() if one.setting.group == Group.SOURCES
    ]
    manifests_only = {"manifests", "service_cidr"}
    for name in set(settings) - manifests_only:
        spelled = (f"`{name}`", f"`{name}:", f"--{name.replace('_', '-')}")
        assert any(text in PAGE for text in spelled), name


def test_each_word_in_the_form_of_a_setting_is_a_setting():
    for word in re.findall(r"`([a-z]+_[a-z_]+)", PAGE):
        assert word in declared(Settings), word


def test_each_log_message_of_the_page_is_in_the_code():
    messages = {row.partition(" …")[0] for row in re.findall(r"^\| `([^`]+)` \|", TROUBLE, re.M)}
    assert len(messages) >= 5
    sources = "".join(path.read_text() for path in (ROOT / "dnsd").rglob("*.py"))
    assert [one for one in messages if f'"{one}"' not in sources] == []


@pytest.mark.parametrize("status", [401, 403])
def test_the_problem_of_a_refused_watch_is_quoted_as_dnsd_logs_it(status):
    from dnsd.cluster.objects import RESOURCES
    from dnsd.sources.kubernetes.errors import ApiError
    from dnsd.sources.kubernetes.informer import describe
    from dnsd.sources.kubernetes.scope import Scope

    (quoted,) = re.findall(rf"^\| `(cannot be watched … {status}[^`]*)` \|", TROUBLE, re.M)
    problem = describe(ApiError(status, "refused"), Scope(RESOURCES["Service"]))
    parts = map(re.escape, re.split(r" ?… ?", quoted.removeprefix("cannot be watched ")))
    assert re.fullmatch(".*".join(parts) + ".*", problem)


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)\)", PAGE))
def test_the_target_of_each_link_exists(path):
    assert (ROOT / "docs" / path).resolve().exists()


class TestStubDomain:
    def test_the_patch_contains_the_block_of_the_corefile(self):
        patch = yaml.safe_load((STUB / "configmap-patch.yaml").read_text())
        corefile = patch["data"]["Corefile"]
        assert squeezed((STUB / "Corefile").read_text()).strip() in squeezed(corefile)

    def test_braces_are_balanced(self):
        for text in ((STUB / "Corefile").read_text(), PAGE):
            code = "".join(line.partition("#")[0] + "\n" for line in text.splitlines())
            assert code.count("{") == code.count("}")

    def test_all_examples_use_one_address(self):
        behind = PAGE.partition("## In place of CoreDNS")[0]
        text = behind + "".join(path.read_text() for path in STUB.iterdir())
        assert set(re.findall(r"forward \. ([0-9.]+)", text)) == {"10.96.0.11"}
        assert set(re.findall(r"--set service\.clusterIP=([0-9.]+)", text)) == {"10.96.0.11"}


class TestLaptop:
    def test_the_commands_write_the_files_of_the_kubeconfig(self):
        text = (LAPTOP / "README.md").read_text()
        config = yaml.safe_load((LAPTOP / "reader.yaml").read_text())
        (user,), (cluster,) = config["users"], config["clusters"]
        written = set(re.findall(r"> (\S+)$", text, re.M))
        assert written == {user["user"]["tokenFile"], cluster["cluster"]["certificate-authority"]}
        (account,) = set(re.findall(r"create token (\S+)", text))
        assert account == user["name"]

    def test_the_account_has_the_rules_of_the_chart(self):
        objects = yaml.safe_load_all((LAPTOP / "rbac.yaml").read_text())
        (role,) = [one for one in objects if one["kind"] == "ClusterRole"]
        assert role["rules"] == GOLDEN

    async def test_the_client_loads_the_kubeconfig(self, tmp_path: Path):
        from dnsd.sources.kubernetes.credentials import Access, Timing, load
        from tests.certificates import Authority

        Authority(tmp_path)
        (tmp_path / "token").write_text("right")
        path = tmp_path / "reader.yaml"
        path.write_text((LAPTOP / "reader.yaml").read_text())
        configuration = (await load(Access(str(path)), Timing())).configuration
        assert configuration.host == "https://api.cluster.example:6443"
        assert configuration.api_key == {"BearerToken": "Bearer right"}
