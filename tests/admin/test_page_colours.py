"""The status page's colours are readable by day and by night, by the contrast that WCAG 2 asks of text (4.5 : 1)."""

import re
from pathlib import Path

import pytest

import oc_trio

_CSS = (Path(oc_trio.__file__).parent / "admin" / "page" / "status.css").read_text("utf-8")
_PAIRS = {
    name: colours for name, *colours in re.findall(r"--(\w+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", _CSS)
}


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "good", "mild", "bad", "link"])
@pytest.mark.parametrize("ground", ["paper", "shade"])
def test_text_is_readable(ink: str, ground: str, scheme: int) -> None:
    """On each ground that text is on."""
    lighter, darker = sorted((luminance(_PAIRS[name][scheme]) for name in (ink, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
