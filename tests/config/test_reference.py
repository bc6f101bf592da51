"""The reference page is the declarations', and complete."""

from pathlib import Path

from oc_trio.config.fields import all_keys
from oc_trio.config.mattermost import MattermostSection
from oc_trio.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    """A changed declaration without `python scripts/gen_config_docs.py` fails here."""
    is_current = PAGE.read_text(encoding="utf-8") == reference()
    assert is_current, "run: python scripts/gen_config_docs.py"


def test_every_key_has_a_meaning() -> None:
    """No row is empty, and each key of an account is listed."""
    page = reference()
    assert all(entry.spec.doc for entry in all_keys(MattermostSection))
    assert all(f"`{entry.name}`" in page or f".{entry.name}" in page for entry in all_keys(MattermostSection))
    assert "|  |\n" not in page
