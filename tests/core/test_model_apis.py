"""The built-in APIs are known by their names; the documentation and the doubles of the tests know all of them."""

from pathlib import Path

import pytest

from oc_trio.core.model_apis import BUILT_IN_APIS, ModelApi, built_in_api
from tests.runtime import model_harness
from tests.simulation import wire

DOCS = Path(__file__).parents[2] / "docs"


def test_names() -> None:
    """A name of its own for each; another is an installed agent's."""
    assert [built_in_api(name) for name in BUILT_IN_APIS] == [*ModelApi]
    assert built_in_api("my-agent") is None


@pytest.mark.parametrize("page", ["agents.md", "configuration.md"])
@pytest.mark.parametrize("name", BUILT_IN_APIS)
def test_the_documentation_names_each(page: str, name: str) -> None:
    """The documentation names each API as a configuration writes it."""
    assert name in (DOCS / page).read_text(encoding="utf-8"), f"docs/{page} says nothing of {name}"


def test_every_api_over_http_has_doubles() -> None:
    """A server that insists on well-formed requests, and one in the simulation that sends garbage."""
    over_http = {*ModelApi} - {ModelApi.COMMAND, ModelApi.SCRIPTED}
    assert {ModelApi(name) for name in model_harness.INSIST} == over_http
    assert [{*table} for table in (wire.AGENTS, wire.FRAMES, wire.ODD_FRAMES)] == [over_http] * 3
