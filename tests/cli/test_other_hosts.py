"""Commands on a machine without a gateway, where gateways on others have the same journal in PostgreSQL."""

import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from oc_trio.cli.exits import EX_UNAVAILABLE
from oc_trio.cli.main import main
from oc_trio.core.membership import ProcessInfo
from oc_trio.ids import AccountId
from oc_trio.store.store import open_store
from tests.store.conftest import cluster, empty_postgres_url, postgres_url  # noqa: F401 - fixtures

CONFIG = """
[channels.mattermost]
baseUrl = "http://127.0.0.1:1"
botToken = "a-token-of-a-bot"
network.dangerouslyAllowPrivateNetwork = true
[models.providers.play]
api = "scripted"
models = ["it"]
[agents.defaults]
model = "play/it"
[gateway]
admin.socket = "{folder}/none.sock"
[store]
url = "{url}"
"""

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def config(tmp_path: Path, postgres_url: str) -> Path:  # noqa: F811 - the fixture
    """With a gateway on another machine that serves the account, and answers nothing."""
    path = tmp_path / "oc-trio.toml"
    path.write_text(CONFIG.format(folder=tmp_path, url=postgres_url))

    async def begin() -> None:
        async with open_store(postgres_url) as store:
            await store.leases.beat(ProcessInfo("p1", "far-host", 42, "1.0", 1, accounts=(AccountId("default"),)), {})
            assert await store.leases.acquire(AccountId("default"), "p1", 0) == 1

    trio.run(begin)
    return path


def run(config: Path, *words: str) -> Result:
    group, *more = words
    return CliRunner().invoke(main, [group, *more, "--config", str(config)])


def test_who_serves_what(config: Path) -> None:
    """The status comes from the journal."""
    shown = run(config, "status")
    assert shown.exit_code == 0, shown.output
    assert "process 42 on far-host" in shown.stdout
    assert "lease of default: far-host (process 42)" in shown.stdout
    assert "no gateway is running" in shown.stderr
    answer = json.loads(run(config, "status", "--json").stdout)
    assert [each["host"] for each in answer["membership"]["processes"]] == ["far-host"]


def test_a_url_that_stands_elsewhere(config: Path, tmp_path: Path, postgres_url: str) -> None:  # noqa: F811 - the fixture
    """Commands that need no token read the file of `store.url` all the same; where it is not there, they say so, and
    don't take the SQLite file that would be used without one.
    """
    kept = tmp_path / "store-url"
    kept.write_text(f"{postgres_url}\n")
    kept.chmod(0o600)
    text = config.read_text().replace(f'"{postgres_url}"', '{ source = "file", path = "./store-url" }')
    config.write_text(text.replace("[gateway]", '[gateway]\naccounts = ["default"]'))
    shown = run(config, "status")
    assert (shown.exit_code, "process 42 on far-host" in shown.stdout) == (0, True), shown.output
    listed = run(config, "pairing", "list")
    assert (listed.exit_code, listed.stderr) == (0, ""), listed.output
    kept.write_text("mysql://elsewhere\n")
    refused = run(config, "pairing", "list")
    assert (refused.exit_code, "store.url: must begin with postgresql://" in refused.stderr) == (78, True)
    kept.unlink()
    refused = run(config, "pairing", "list")
    assert (refused.exit_code, "store-url" in refused.stderr) == (78, True), refused.output


def test_a_database_before_the_first_start(tmp_path: Path, empty_postgres_url: str) -> None:  # noqa: F811 - the fixture
    """For the doctor an empty database is no fault, and it stays empty."""
    config = tmp_path / "oc-trio.toml"
    config.write_text(CONFIG.format(folder=tmp_path, url=empty_postgres_url))
    for _ in range(2):
        shown = run(config, "doctor")
        assert "ok      journal: will be made at the first start, in the database that store.url names" in shown.stdout


def test_a_journal_that_is_away(tmp_path: Path) -> None:
    """It is as if there were none."""
    config = tmp_path / "oc-trio.toml"
    config.write_text(CONFIG.format(folder=tmp_path, url="postgresql://nobody@127.0.0.1:1/none"))
    assert run(config, "status").exit_code == EX_UNAVAILABLE


def test_a_stop_that_nobody_takes(config: Path) -> None:
    """It is asked for by the journal, and said not to be done."""
    stopped = run(config, "sessions", "stop", "agent:main:x", "--account", "default")
    assert stopped.exit_code == 1
    assert "nothing was stopped: try again" in stopped.stderr


def test_jobs_are_announced(config: Path) -> None:
    """A change is for the gateways elsewhere."""
    added = run(config, "cron", "add", "--at", "20m", "--text", "Tea", "--to", "@alice", "--json")
    assert json.loads(added.stdout)["gatewayTold"] is True
