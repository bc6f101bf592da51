"""MCP's tools and results become the port's, with names that every model API accepts."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from oc_trio.agent.mcp_convert import result_text, tool_specs


def tool(name: str, **more: Any) -> SimpleNamespace:
    fields = {"description": "", "title": None, "annotations": None, "input_schema": {"type": "object"}}
    return SimpleNamespace(name=name, **{**fields, **more})


def test_names_fit_and_stay_unique() -> None:
    """Foreign letters become _, the whole name fits in 64 characters, and of two that clash the first counts."""
    specs, names = tool_specs("files", [tool("a.b"), tool("a/b"), tool("x" * 100), tool("")])
    assert names == {"a_b": "a.b", "x" * 57: "x" * 100}
    for spec in specs:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", f"files__{spec.name}")


def test_descriptions_and_hints() -> None:
    """A title stands in for a description; a read-only tool may be repeated."""
    read_only = SimpleNamespace(read_only_hint=True)
    (one, two), _ = tool_specs("s", [tool("a", title="T", annotations=read_only), tool("b", description="D")])
    assert (one.description, one.side_effects) == ("T", False)
    assert (two.description, two.side_effects) == ("D", True)


def content(*blocks: dict[str, Any], structured: object = None) -> SimpleNamespace:
    return SimpleNamespace(content=[SimpleNamespace(**block) for block in blocks], structured_content=structured)


RESULTS = [
    pytest.param(content({"type": "text", "text": "a"}, {"type": "text", "text": "b"}), "a\nb", id="text"),
    pytest.param(
        content({"type": "image", "mime_type": "image/png", "data": "AAAA"}), "[image, image/png, 3 bytes]", id="image"
    ),
    pytest.param(
        content({"type": "resource", "resource": SimpleNamespace(uri="file:///x", text="hi")}), "hi", id="resource"
    ),
    pytest.param(
        content({"type": "resource", "resource": SimpleNamespace(uri="file:///x", blob="AA")}),
        "[resource file:///x]",
        id="binary resource",
    ),
    pytest.param(content({"type": "resource_link", "name": "x", "uri": "file:///x"}), "[x: file:///x]", id="link"),
    pytest.param(content({"type": "hologram"}), "[hologram]", id="unknown"),
    pytest.param(content(structured={"ü": 1}), '{"ü": 1}', id="structured alone"),
    pytest.param(content(), "", id="nothing"),
]


@pytest.mark.parametrize(("result", "text"), RESULTS)
def test_results_become_text(result: SimpleNamespace, text: str) -> None:
    """Everything that is no text is named."""
    assert result_text(result) == text
