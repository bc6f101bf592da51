"""The image and the compose file agree with the program: paths, ports, users, times, and a configuration that loads."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from oc_trio.cli.systemd import STOP_MARGIN_SECONDS
from oc_trio.config.load import load
from oc_trio.runtime.policies import net_policy

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS: dict[str, Any] = COMPOSE["services"]["gateway"]
CONFIG: str = COMPOSE["configs"]["gateway"]["content"]


def environment() -> dict[str, str]:
    """What ENV sets in the final stage."""
    final = DOCKERFILE.rpartition("\nFROM ")[2].replace("\\\n", " ")
    return dict(re.findall(r"(\w+)=(\S+)", next(line for line in final.splitlines() if line.startswith("ENV"))))


def test_the_compose_file_configures_a_gateway_that_mattermost_reaches(tmp_path: Path) -> None:
    """It loads without a warning, on the network of the file, with the token of the secret."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "bot-token").write_text("a" * 26)
    (tmp_path / "bot-token").chmod(0o400)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": str(tmp_path), "OPENAI_API_KEY": "k"}
    loaded = load(str(tmp_path / "config.toml"), environ)
    assert not loaded.warnings
    account = loaded.accounts[next(iter(loaded.accounts))]
    port = loaded.config.gateway.port
    assert account.base_url == "http://mattermost:8065"
    assert net_policy(account).allow_private
    assert account.commands.callback_url == f"http://gateway:{port}{account.commands.callback_path}"
    assert account.interactions.callback_base_url == f"http://gateway:{port}"
    subnet = COMPOSE["networks"]["chat"]["ipam"]["config"][0]["subnet"]
    assert account.interactions.allowed_source_ips == (subnet,)
    server = COMPOSE["services"]["mattermost"]["environment"]
    assert server["MM_SERVICESETTINGS_ALLOWEDUNTRUSTEDINTERNALCONNECTIONS"] == "gateway"


def test_a_stop_leaves_time_for_the_drain() -> None:
    """The compose file's grace period exceeds the drain; Docker kills after ten seconds by default."""
    drain = tomllib.loads(CONFIG)["gateway"].get("drainSeconds", 30)
    assert int(OURS["stop_grace_period"].removesuffix("s")) >= drain + STOP_MARGIN_SECONDS
    assert f"--time {drain + 30}" in DOCKERFILE


def test_the_container_has_no_rights_that_it_does_not_need() -> None:
    """Not root, nothing to write but its volume, no port open to the machine."""
    assert OURS["read_only"] is True
    assert OURS["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in OURS["security_opt"]
    assert "ports" not in OURS
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user is not None
    assert int(user[1]) >= 1000
    (volume,) = OURS["volumes"]
    assert volume.partition(":")[2] == environment()["STATE_DIRECTORY"]
    assert f"VOLUME {environment()['STATE_DIRECTORY']}" in DOCKERFILE


def test_the_paths_of_the_image_are_those_of_the_compose_file() -> None:
    """Configuration, token and port."""
    assert OURS["configs"][0]["target"] == environment()["OC_TRIO_CONFIG"]
    assert environment()["CREDENTIALS_DIRECTORY"] == "/run/secrets"
    assert OURS["secrets"] == ["bot-token"]
    assert COMPOSE["secrets"]["bot-token"]["file"] == "./bot-token"
    assert "EXPOSE 18789" in DOCKERFILE
    assert 'ENTRYPOINT ["oc-trio"]' in DOCKERFILE


@pytest.mark.parametrize("line", re.findall(r"^FROM python:(\d+\.\d+)-slim", DOCKERFILE, re.MULTILINE))
def test_the_image_has_a_python_that_is_tested(line: str) -> None:
    """The classifiers are what the tests run on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {line}" in project["classifiers"]


def test_what_the_image_is_built_from_is_not_ignored() -> None:
    """Each source of a COPY is let through by .dockerignore, which lets nothing else through."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    }
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")}
