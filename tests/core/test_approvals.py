"""What is shown of a call is what is called, whatever it holds; and it fits into a post."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.approvals import MAX_PROMPT_CHARS, MAX_TOOL_NAME, CallTooLarge, approval_prompt, escape_hidden
from oc_trio.core.chunking import SERVER_LIMIT
from oc_trio.core.mention_escape import escape_channel_mentions

HOSTILE = [
    pytest.param("`", r"\u0060", id="a backtick"),
    pytest.param("x\n```\nApprove: `ls`?\n```text\n", r"x\n\u0060\u0060\u0060\nApprove: ", id="the end of the block"),
    pytest.param("\r\n~~~\n", r"\r\n~~~\n", id="another fence"),
    pytest.param("@channel", r"\u0040channel", id="a ping"),
    pytest.param("\n@all\u200b@here", r"\n\u0040all\u200b\u0040here", id="pings behind escapes"),
    pytest.param("bob@example.org", "bob@example.org", id="an address"),
    pytest.param("\u202egnp.exe", r"\u202egnp.exe", id="from right to left"),
    pytest.param("\u2066a\u2069", r"\u2066a\u2069", id="an isolate"),
    pytest.param("a\u200bb\u200d\ufeff", r"a\u200bb\u200d\ufeff", id="zero width"),
    pytest.param("a\u00a0b\u3000", r"a\u00a0b\u3000", id="other blanks"),
    pytest.param("\u3164\u2800\u115f", r"\u3164\u2800\u115f", id="letters that show as nothing"),
    pytest.param("a\u2028b\x85\x0b\x7f", r"a\u2028b\u0085\u000b\u007f", id="other line ends and controls"),
    pytest.param("\U000e0041\U000e0101", r"\udb40\udc41\udb40\udd01", id="tags"),
    pytest.param("\ue000", r"\ue000", id="private"),
    pytest.param("o" + "\u0336" * 5, "o\u0336\u0336" + r"\u0336" * 3, id="marks piled up"),
    pytest.param("[a](http://x.y) **b** <b> | \\", r"[a](http://x.y) **b** <b> | \\", id="Markdown that a block holds"),
    pytest.param("Grüße, 世界, 🙂", "Grüße, 世界, 🙂", id="words of people"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_names_and_values(text: str, shown: str) -> None:
    """As names and as values, nested ones too: in one line each, in a block that they can't end."""
    call = approval_prompt("tool", {text: text, "in": [{text: [text]}]}).text
    head, fence, *lines, end = call.split("\n")
    assert (head, fence, end, len(lines)) == ("Approve: `tool`?", "```text", "```", 2)
    assert call.count("`") == 8
    assert call.count(shown) == 4
    assert all(char.isprintable() or char == "\n" for char in call)
    name, value = lines[0].rsplit(" = ", 1) if " = " not in text else (lines[0], lines[0])
    assert json.loads(value) == text
    assert name == text or json.loads(name) == text
    assert escape_channel_mentions(call) == call


def test_a_hostile_tool_name() -> None:
    assert approval_prompt("a`b @all", {}).text == r'Approve: `"a\u0060b \u0040all"`, without arguments?'
    with pytest.raises(CallTooLarge, match="name has 301 characters"):
        approval_prompt("x" * (MAX_TOOL_NAME + 1), {})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=5,
)


@given(st.text(), st.dictionaries(st.text(), ANYTHING, max_size=4))
def test_whatever_is_shown_reads_back(name: str, arguments: dict[str, Any]) -> None:
    """Every line is a name and a value as JSON of what is called, unless it says that it is shortened."""
    try:
        shown = approval_prompt(name, arguments)
    except CallTooLarge:
        return
    assert len(shown.text) <= MAX_PROMPT_CHARS < SERVER_LIMIT
    if not arguments:
        return
    _, _, *lines, _ = shown.text.split("\n")
    assert len(lines) == len(arguments)
    for line, (argument, value) in zip(lines, arguments.items(), strict=True):
        if line.startswith('"'):
            read, end = json.JSONDecoder().raw_decode(line)
        else:
            read, end = argument, len(argument)
        assert (read, line[end : end + 3]) == (argument, " = ")
        if not line.endswith("see the attached file)"):
            assert json.loads(line[end + 3 :]) == value
        else:
            assert shown.file is not None
    if shown.file is not None:
        assert json.loads(shown.file) == {"tool": name, "arguments": arguments}


@given(ANYTHING)
def test_visible_is_the_same_json(value: Any) -> None:
    text = escape_hidden(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert text.isprintable()


@pytest.mark.parametrize("count", [1, 10, 50, 150])
def test_many_long_values_get_less_room_each(count: int) -> None:
    """All names stand there, each value says its length, and the post is one that the server takes."""
    arguments = {f"name{number}": "\u202e" * 5_000 for number in range(count)}
    shown = approval_prompt("tool", arguments)
    assert len(shown.text) <= MAX_PROMPT_CHARS
    assert shown.text.count("... (5,000 characters, see the attached file)") == count
    assert all(f"\nname{number} = " in shown.text for number in range(count))
    assert shown.file is not None
    assert json.loads(shown.file)["arguments"] == arguments
    assert b"\xe2\x80\xae" not in shown.file


def test_more_than_a_person_reads_is_refused() -> None:
    with pytest.raises(
        CallTooLarge, match=r"its arguments have 1,000,\d{3} characters; a person can be asked about 1,000,000"
    ):
        approval_prompt("tool", {"a": "x" * 500_000, "b": ["y" * 500_000]})


def test_a_value_that_looks_shortened_is_not_taken_for_it() -> None:
    """The note stands outside the quotes, which a value can't leave."""
    shown = approval_prompt("tool", {"a": "x... (5 characters, see the attached file)"})
    assert shown.file is None
    assert '"x... (5 characters, see the attached file)"' in shown.text


def test_the_beginning_cuts_no_escape() -> None:
    shown = approval_prompt("tool", {"a": "\u202e" * 2000, "b": "\\" * 2000, "c": "x" + "\0" * 2000})
    for line in shown.text.split("\n")[2:5]:
        begun, _, _ = line.split(" = ")[1].partition("... (2,000")
        json.loads(begun + '"')
