import pytest

from oc_trio.core.code_fences import certain_code_ranges, fence_after, likely_code_ranges, opened_by, outside


@pytest.mark.parametrize(
    ("line", "marker", "info"),
    [
        pytest.param("```", "```", "", id="bare"),
        pytest.param("````python title=x ", "````", "python title=x", id="with info"),
        pytest.param("  ~~~", "~~~", "", id="indented tildes"),
    ],
)
def test_opened_by(line: str, marker: str, info: str) -> None:
    """A fence is three or more of one mark, with an info behind it."""
    fence = opened_by(line)
    assert fence is not None
    assert (fence.marker, fence.info) == (marker, info)


@pytest.mark.parametrize("line", ["", "``", "text ```", "``` a`b"])
def test_a_line_that_opens_nothing(line: str) -> None:
    """Fewer marks, marks behind text and backticks in the info open no fence."""
    assert opened_by(line) is None


@pytest.mark.parametrize(
    ("text", "closing"),
    [
        pytest.param("```py\nx", "```", id="open"),
        pytest.param("```\nx\n```", None, id="closed"),
        pytest.param("````\n```\n", "````", id="a shorter run closes nothing"),
        pytest.param("```\n~~~", "```", id="another mark closes nothing"),
        pytest.param("```\n``` x", "```", id="a closing line has no info"),
        pytest.param("```\n````  ", None, id="a longer run closes"),
    ],
)
def test_fence_after(text: str, closing: str | None) -> None:
    """The fence behind a text is the one that still waits for its end."""
    fence = fence_after(text)
    assert (fence.closing if fence else None) == closing


@pytest.mark.parametrize(
    ("text", "generous", "certain"),
    [
        pytest.param("no code", "no code", "no code", id="prose"),
        pytest.param("a `b` c", "a # c", "a # c", id="span"),
        pytest.param("``a ` b`` c", "# c", "# c", id="double backticks"),
        pytest.param("```\nx\n```\ny", "#\n#\n#\ny", "```\n#\n#\ny", id="fence"),
        pytest.param("- x\n  ```\n  y\n  ```", "- x\n#\n#\n#", "- x\n  ```\n  y\n  ```", id="fence in a list"),
        pytest.param("`a`\n` b", "#\n` b", "`a`\n` b", id="an unpaired run makes its paragraph doubtful"),
        pytest.param("`a`\n\n` b", "#\n\n` b", "#\n\n` b", id="but not the paragraph before"),
    ],
)
def test_both_readings(text: str, generous: str, certain: str) -> None:
    """The certain reading claims less where a text could be read in two ways."""

    def masked(ranges: tuple[tuple[int, int], ...]) -> str:
        for start, end in reversed(ranges):
            assert start < end
        parts, at = [], 0
        for start, end in ranges:
            parts += [text[at:start], "#"]
            at = end
        return "".join(parts) + text[at:]

    assert masked(likely_code_ranges(text)) == generous
    assert masked(certain_code_ranges(text)) == certain


def test_outside_changes_only_what_lies_between_the_ranges() -> None:
    """Ranges stay as they are."""
    assert outside(((2, 4),), "abcdef", str.upper) == "ABcdEF"
