import pytest

from oc_trio.core.tables import TableMode, convert_tables

TABLE = "| Name | Age |\n|------|----:|\n| Ann | 30 |\n| Bob \\| Co | `x` |"


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        pytest.param(TABLE, TableMode.OFF, TABLE, id="off leaves tables alone"),
        pytest.param(
            f"Look:\n\n{TABLE}\n\nDone.",
            TableMode.BULLETS,
            "Look:\n\n**Ann**\n- Age: 30\n\n**Bob | Co**\n- Age: `x`\n\nDone.",
            id="bullets",
        ),
        pytest.param(
            TABLE,
            TableMode.CODE,
            "```\n| Name     | Age |\n|----------|-----|\n| Ann      | 30  |\n| Bob | Co | `x` |\n```",
            id="code",
        ),
        pytest.param(
            "a|b\n-|-\n1|2", TableMode.CODE, "```\n| a   | b   |\n|-----|-----|\n| 1   | 2   |\n```", id="no outer bars"
        ),
        pytest.param("|a|\n|-|\n|x|\n|y|", TableMode.BULLETS, "- x\n- y", id="one column"),
        pytest.param("|a|b|\n|-|-|", TableMode.BULLETS, "- a, b", id="no rows"),
        pytest.param("|a|b|c|\n|-|-|-|\n|x||z|\n|y|", TableMode.BULLETS, "**x**\n- c: z\n\n**y**", id="empty cells"),
        pytest.param("|a||\n|-|-|\n||z|", TableMode.BULLETS, "- z", id="nameless column"),
        pytest.param(f"```\n{TABLE}\n```", TableMode.CODE, f"```\n{TABLE}\n```", id="code is left alone"),
        pytest.param("a | b\n\nc", TableMode.CODE, "a | b\n\nc", id="no delimiter row"),
        pytest.param("a | b | c\n--|--", TableMode.CODE, "a | b | c\n--|--", id="columns don't match"),
        pytest.param(
            "|a|\n|-|\n|```|",
            TableMode.CODE,
            "````\n| a   |\n|-----|\n| ``` |\n````",
            id="a longer fence for backticks",
        ),
        pytest.param("|漢|\n|-|\n|ab|", TableMode.CODE, "```\n| 漢  |\n|-----|\n| ab  |\n```", id="wide characters"),
    ],
)
def test_convert_tables(text: str, mode: TableMode, expected: str) -> None:
    """Tables are rewritten, the text around them is not."""
    assert convert_tables(text, mode) == expected
