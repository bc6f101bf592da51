import hashlib
import hmac
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from oc_trio.cli.buttons import command
from oc_trio.core.buttons import CHANNEL_ID, EXPIRES_AT
from oc_trio.signing import interaction_secret, verify_context

TOKEN = "test-bot-token"
ENVIRONMENT = {"MATTERMOST_BOT_TOKEN": TOKEN}
CONTEXT = '{"action_id":"mybutton01","action":"approve"}'
SIGNATURE = "0acfa571485b629a77b08e8c73cf4ef10551f7b6d54d0a689230a2cb3c6006dc"


def test_sign_prints_the_token() -> None:
    result = CliRunner().invoke(command, ["sign", CONTEXT], env=ENVIRONMENT)
    assert (result.exit_code, result.stdout) == (0, SIGNATURE + "\n")


def test_sign_reads_standard_input_and_a_token_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    result = CliRunner().invoke(
        command, ["sign", "-", "--token-file", str(file)], input=CONTEXT, env={"MATTERMOST_BOT_TOKEN": ""}
    )
    assert (result.exit_code, result.stdout) == (0, SIGNATURE + "\n")


def test_sign_takes_the_token_of_a_configured_account(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[channels.mattermost.accounts.alerts]\nbaseUrl = "https://chat.example.com"\nbotToken = "test-bot-token"\n'
    )
    arguments = ["sign", CONTEXT, "--config", str(file), "--account", "Alerts"]
    result = CliRunner().invoke(command, arguments, env={"MATTERMOST_BOT_TOKEN": ""})
    assert (result.exit_code, result.stdout) == (0, SIGNATURE + "\n"), result.output
    missing = CliRunner().invoke(command, [*arguments[:-1], "nobody"], env={"MATTERMOST_BOT_TOKEN": ""})
    assert missing.exit_code == 1
    assert "There is no usable account nobody; there is alerts." in missing.stderr


def test_sign_json_prints_a_context_that_verifies() -> None:
    arguments = ["sign", CONTEXT, "--channel", "c1", "--expires-in", "60", "--json"]
    result = CliRunner().invoke(command, arguments, env=ENVIRONMENT)
    signed = json.loads(result.stdout)
    assert signed[CHANNEL_ID] == "c1"
    assert signed[EXPIRES_AT] > 0
    assert verify_context(TOKEN, signed)


def test_sign_warns_of_a_missing_action_id() -> None:
    result = CliRunner().invoke(command, ["sign", "{}"], env=ENVIRONMENT)
    assert result.exit_code == 0
    assert "action_id" in result.stderr


@pytest.mark.parametrize(
    ("context", "environment", "words"),
    [
        ("{", ENVIRONMENT, "not JSON"),
        ("[1]", ENVIRONMENT, "must be a JSON object"),
        ("{}", {"MATTERMOST_BOT_TOKEN": ""}, "no bot token"),
        ('{"a":' + "[" * 40 + "]" * 40 + "}", ENVIRONMENT, "can't be signed"),
    ],
    ids=["broken", "list", "no token", "deep"],
)
def test_mistakes_are_one_message(context: str, environment: dict[str, str], words: str) -> None:
    result = CliRunner().invoke(command, ["sign", context], env=environment)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("token", "code", "output_json"),
    [
        (SIGNATURE, 0, {"valid": True}),
        (
            "0" * 64,
            1,
            {"valid": False, "problem": "it was signed with another bot's token, or a field was changed afterwards"},
        ),
    ],
)
def test_verify(token: str, code: int, output_json: dict[str, bool]) -> None:
    context = json.dumps({**json.loads(CONTEXT), "_token": token})
    result = CliRunner().invoke(command, ["verify", context, "--json"], env=ENVIRONMENT)
    assert (result.exit_code, json.loads(result.stdout)) == (code, output_json)


def _signature(key: str | bytes, message: str) -> str:
    return hmac.new(key.encode() if isinstance(key, str) else key, message.encode(), hashlib.sha256).hexdigest()


SECRET = interaction_secret(TOKEN)
SORTED = '{"action":"approve","action_id":"mybutton01"}'


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        (None, "the context has no _token"),
        (_signature(TOKEN, SORTED), "the key is the bot token itself: derive the secret from it first"),
        (_signature(bytes.fromhex(SECRET), SORTED), "the secret was decoded: use it as its hex text"),
        (_signature(SECRET, SORTED.replace(":", ": ").replace(",", ", ")), "the JSON has blanks: write it compact"),
        (_signature(SECRET, CONTEXT), "the keys are not sorted"),
        (_signature(SECRET, '{"action_id":"mybutton01"}'), "the field action is not signed: sign all fields"),
    ],
    ids=["none", "key", "decoded", "blanks", "unsorted", "subset"],
)
def test_verify_says_what_a_script_did_wrong(signature: str | None, problem: str) -> None:
    """The usual mistakes by name."""
    context = json.loads(CONTEXT) | ({"_token": signature} if signature else {})
    result = CliRunner().invoke(command, ["verify", json.dumps(context)], env=ENVIRONMENT)
    assert (result.exit_code, result.stdout) == (1, f"invalid: {problem}\n")


def test_sign_warns_of_an_id_that_mattermost_does_not_take() -> None:
    result = CliRunner().invoke(command, ["sign", '{"action_id": "my-button"}'], env=ENVIRONMENT)
    assert result.exit_code == 0
    assert "Mattermost answers 404 to a click on a button with the id my-button" in result.stderr


@pytest.mark.parametrize(
    "context", ['{"a": "\\ud800"}', '{"a": "\\u0000"}', '{"a": NaN}', '{"a": 1e999}', "[" * 100_000]
)
def test_a_context_that_no_server_takes(context: str) -> None:
    """It can't be signed, and is named as what it is."""
    shown = CliRunner().invoke(command, ["sign", context], env=ENVIRONMENT)
    assert shown.exit_code == 1
    assert "CONTEXT can't be signed: it is n" in shown.output


def test_standard_input_in_another_encoding() -> None:
    """Wrong usage, no traceback."""
    shown = CliRunner().invoke(command, ["sign", "-"], env=ENVIRONMENT, input=b'{"a": "gr\xfcn"}')
    assert shown.exit_code == 2
    assert "Standard input is not UTF-8 text." in shown.output
