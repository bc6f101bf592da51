"""A configuration written into a file and loaded, in one call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oc_trio.config.load import Loaded, load

ENV = {"MATTERMOST_BOT_TOKEN": "env-token", "MATTERMOST_URL": "https://chat.example.com"}
LoadText = Callable[..., Loaded]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """load_text(text, name="oc-trio.toml", env=..., **options) -> Loaded."""

    def read(text: str, name: str = "oc-trio.toml", env: dict[str, str] = ENV, **options: Any) -> Loaded:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load(str(tmp_path / name), {"HOME": str(tmp_path), **env}, cwd=tmp_path, **options)

    return read
