"""The built-in APIs are known by their names, and the documentation knows all of them."""

from pathlib import Path

import pytest

from oc_trio.core.model_apis import BUILT_IN_APIS, ModelApi, built_in_api

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
