import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.collation import collation_key

VECTORS = json.loads((Path(__file__).parent / "data" / "canonical_json_vectors.json").read_text("utf-8"))
NODE = shutil.which("node")


@pytest.mark.parametrize("group", ["keys", "ascii", "latin"])
def test_words_sort_as_icu_sorts_them(group: str) -> None:
    """Every recorded list comes out in the recorded order, whatever the order it starts in."""
    words = VECTORS[group]
    backwards = words[::-1]
    assert sorted(backwards, key=collation_key) == words


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("a", "A", id="lower before upper"),
        pytest.param("A", "b", id="case counts less than the letter"),
        pytest.param("a_b", "a-b", id="underscore before hyphen"),
        pytest.param("a-b", "ab", id="punctuation counts"),
        pytest.param("10", "2", id="digits one by one"),
        pytest.param("9", "a", id="digits before letters"),
        pytest.param("e2", "é3", id="accents count less than what follows"),
        pytest.param("eé", "ée", id="the first accent decides"),
        pytest.param("z", "я", id="Latin before Cyrillic"),
        pytest.param("€", "1", id="currency before digits"),
    ],
)
def test_order(first: str, second: str) -> None:
    assert collation_key(first) < collation_key(second)


def test_control_characters_have_no_weight() -> None:
    assert collation_key("a\x00b\x7f") == collation_key("ab")


def test_canonically_equal_spellings_are_equal() -> None:
    assert collation_key("\u00e9") == collation_key("e\u0301")


@given(st.text(), st.text())
def test_any_two_texts_compare(first: str, second: str) -> None:
    assert (collation_key(first) <= collation_key(second)) or (collation_key(second) <= collation_key(first))


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_agrees_with_node() -> None:
    """The node at hand sorts all short words over awkward characters as we do."""
    assert NODE is not None
    alphabet = "aAbZ_-.19 @é"
    words = [first + second + third for first in alphabet for second in alphabet for third in ("", "a", "_", "1")]
    script = "console.log(JSON.stringify(JSON.parse(process.argv[1]).sort((x,y)=>x.localeCompare(y,'en'))))"
    run = subprocess.run([NODE, "-e", script, json.dumps(words)], capture_output=True, check=True, timeout=30)
    assert sorted(words, key=collation_key) == json.loads(run.stdout)
