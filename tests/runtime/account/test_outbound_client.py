"""Which account acts, and where its buttons call back."""

import pytest

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.core.backoff import DirectRetryPolicy
from oc_trio.errors import ConfigError
from oc_trio.runtime.account.outbound_client import direct_retry, pick_account

MATTERMOST = {
    "baseUrl": "https://chat.example.com",
    "botToken": "one",
    "accounts": {
        "Ops": {"botToken": "two", "dmChannelRetry": {"maxRetries": 1, "timeoutMs": 5000}},
        "off": {"enabled": False},
    },
    "defaultAccount": "ops",
}


def loaded(**gateway: object):  # type: ignore[no-untyped-def]
    return build(Document({"channels": {"mattermost": MATTERMOST}, "gateway": gateway}), {})


@pytest.mark.parametrize(("wanted", "found"), [(None, "ops"), ("OPS", "ops"), ("default", "default")])
def test_the_account_named_or_the_default_one(wanted: str | None, found: str) -> None:
    """Ids count in any case."""
    assert pick_account(loaded(), wanted).id == found


@pytest.mark.parametrize("wanted", ["off", "nobody"])
def test_no_other_account_instead(wanted: str) -> None:
    """A disabled or unknown account is an error that names the usable ones."""
    with pytest.raises(ConfigError, match="usable: default, ops"):
        pick_account(loaded(), wanted)


def test_retries_are_the_accounts() -> None:
    """`dmChannelRetry` is inherited field by field."""
    assert direct_retry(pick_account(loaded(), None)) == DirectRetryPolicy(1, 1.0, 10.0, 5.0)
