"""The documentation's site: all pages are in its navigation, and links between pages and repository files fit."""

import importlib.util
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SITE = ROOT / "scripts" / "site"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """The hooks as MkDocs loads them: from their file."""
    spec = importlib.util.spec_from_file_location("site_hooks", SITE / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    values = nav.values() if isinstance(nav, dict) else nav
    return [page for value in values for page in pages(value)]


def test_every_page_is_in_the_navigation(hooks: ModuleType) -> None:
    """Once, and none that there is not."""
    nav = pages(yaml.safe_load((SITE / "mkdocs.yml").read_text())["nav"])
    there = [page.name for page in (ROOT / "docs").glob("*.md")] + list(hooks.PAGES.values())
    assert sorted(nav) == sorted(there)


@pytest.mark.parametrize(
    ("folder", "text", "expected"),
    [
        ("", "[a](docs/access.md#pairing)", "[a](access.md#pairing)"),
        ("", "![a](docs/images/x.png)", "![a](images/x.png)"),
        ("", "[a](ARCHITECTURE.md)", "[a](architecture.md)"),
        ("docs", "[a](../README.md#further)", "[a](index.md#further)"),
        ("docs", "[a](agents.md)", "[a](agents.md)"),
        ("docs", "[the file](../Dockerfile)", "the file (`Dockerfile`)"),
        ("", "[kit](tests/contract/README.md)", "kit (`tests/contract/README.md`)"),
        ("docs", "[a](#here)", "[a](#here)"),
        ("docs", "[a](https://x.test/docs/page)", "[a](https://x.test/docs/page)"),
    ],
)
def test_links_fit(hooks: ModuleType, folder: str, text: str, expected: str) -> None:
    """A page of the repository links as the repository has it; the site has its pages side by side."""
    assert hooks.relinked(text, PurePosixPath(folder)) == expected
