"""`$include`: what comes of it, and what is refused with the line that asked for it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oc_trio.config.document import read_document
from oc_trio.config.load import load
from oc_trio.errors import ConfigError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(openclaw, name=text, ...) -> the path of openclaw.json; `__` in a name is a slash, `_json5` the ending."""

    def make(main: str, **files: str) -> Path:
        for name, text in {"openclaw_json": main, **files}.items():
            file = tmp_path / "conf" / name.replace("__", "/").replace("_json", ".json")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / "conf" / "openclaw.json"

    return make


def test_a_file_takes_the_place_of_its_table(write: Write) -> None:
    """Relative to the file that names it; comments and trailing commas are fine in it, too."""
    file = write(
        '{ agents: { $include: "./a/agents.json5" } }',
        a__agents_json5='{ defaults: { $include: "defaults.json5", }, } // that is all',
        a__defaults_json5='{ model: "openai/x" }',
    )
    assert read_document(file).values == {"agents": {"defaults": {"model": "openai/x"}}}


def test_lists_are_merged_in_order_and_what_stands_beside_wins(write: Write) -> None:
    """Tables field by field, lists one after the other."""
    file = write(
        '{ a: { $include: ["one.json5", "two.json5"], deep: { own: 3 }, list: [3] } }',
        one_json5="{ deep: { one: 1, both: 1 }, list: [1], own: 1 }",
        two_json5="{ deep: { two: 2, both: 2 }, list: [2] }",
    )
    values = read_document(file).values["a"]
    assert values == {"deep": {"one": 1, "both": 2, "two": 2, "own": 3}, "list": [1, 2, 3], "own": 1}


def test_the_whole_file_may_be_included(write: Write) -> None:
    """At the top, as anywhere else."""
    assert read_document(write('{ $include: "b.json", x: 1 }', b_json='{"y": 2}')).values == {"x": 1, "y": 2}


def test_each_key_knows_its_file_and_line(write: Write) -> None:
    """Also within lists that come from several files."""
    file = write(
        '{\n  list: { $include: ["one.json5", "two.json5"] },\n  c: 1,\n}',
        one_json5='[\n  { id: "a" },\n]',
        two_json5='[\n\n  {\n    id: "b" },\n]',
    )
    document = read_document(file)
    places = {key: document.location(key).removeprefix(f"{file.parent}/") for key in ("list[0].id", "list[1].id", "c")}
    assert places == {"list[0].id": "one.json5:2", "list[1].id": "two.json5:4", "c": "openclaw.json:3"}


def test_every_file_s_permissions_are_known(write: Write) -> None:
    """A secret may stand in any of them."""
    file = write('{ a: { $include: "one.json5" } }', one_json5="{}")
    (file.parent / "one.json5").chmod(0o640)
    assert read_document(file).modes == {file.parent / "one.json5": 0o640}


def test_a_secret_in_an_included_file_is_for_its_owner_alone(write: Write) -> None:
    """That file is named, not the one that includes it."""
    file = write('{ channels: { $include: "c.json5" } }', c_json5='{ mattermost: { botToken: "s3cret" } }')
    (file.parent / "c.json5").chmod(0o644)
    (warning, *_) = load(str(file), {"MATTERMOST_URL": "https://chat.example.com", "HOME": "/nowhere"}).warnings
    assert str(warning).startswith(f"{file.parent}/c.json5: holds a secret (channels.mattermost.botToken)")


DEEP = {f"n{at}_json5": f'{{ a: {{ $include: "n{at + 1}.json5" }} }}' for at in range(12)}
REFUSED = {
    "missing": ('{\n a: { $include: "no.json5" } }', {}, "openclaw.json:2: a.$include: ", "no.json5 can't be read"),
    "syntax": ('{ a: { $include: "b.json5" } }', {"b_json5": "{\n x: ,}"}, "openclaw.json:1: ", "b.json5:2:5: not val"),
    "itself": ('{ a: { $include: "openclaw.json" } }', {}, "a.$include: includes itself: ", "openclaw.json -> "),
    "a cycle": (
        '{ a: { $include: "b.json5" } }',
        {"b_json5": '{ c: { $include: "b.json5" } }'},
        "b.json5:1: a.c.$include: includes itself",
        "b.json5 -> ",
    ),
    "outside": ('{ a: { $include: "../b.json5" } }', {}, "a.$include: ../b.json5 is outside of ", "OPENCLAW_INCLUDE"),
    "absolute": ('{ a: { $include: "/etc/passwd" } }', {}, "a.$include: /etc/passwd is outside of ", ""),
    "too deep": ('{ a: { $include: "n0.json5" } }', DEEP, "is nested more than 10 files deep", ""),
    "a number": ("{ a: { $include: 3 } }", {}, "a.$include: must be a file name or a list of them, not a number", ""),
    "a list with keys": ('{ a: { $include: "l.json5", b: 1 } }', {"l_json5": "[]"}, "must hold an object", ""),
    "a folder": ('{ a: { $include: "." } }', {}, "a.$include: ", "Is a directory"),
}


@pytest.mark.parametrize(("main", "files", "words", "more"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(write: Write, main: str, files: dict[str, str], words: str, more: str) -> None:
    """Nothing is left out in silence: the start stops with the line and the reason."""
    file = write(main, **files)
    with pytest.raises(ConfigError) as caught:
        read_document(file)
    assert words in str(caught.value)
    assert more in str(caught.value)


def test_every_problem_is_named_at_once(write: Write) -> None:
    """Three files that are missing are three problems, also where one list names two of them."""
    with pytest.raises(ConfigError) as caught:
        read_document(write('{ a: { $include: ["v.json5", "x.json5", 5] }, b: [{ $include: "y.json5" }] }'))
    assert [problem.path for problem in caught.value.problems] == ["a.$include"] * 3 + ["b[0].$include"]
    for words in ("v.json5 can't be read", "x.json5 can't be read", "not a number", "y.json5 can't be read"):
        assert words in str(caught.value)


def test_a_link_leads_nowhere_that_is_not_allowed(write: Write, tmp_path: Path) -> None:
    """Unless OPENCLAW_INCLUDE_ROOTS has the place it leads to."""
    file = write('{ a: { $include: "link.json5" } }')
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x.json5").write_text("{ b: 1 }")
    (file.parent / "link.json5").symlink_to(tmp_path / "shared" / "x.json5")
    with pytest.raises(ConfigError, match="is outside of"):
        read_document(file)
    env = {"OPENCLAW_INCLUDE_ROOTS": f"relative:{tmp_path / 'shared'}"}
    assert read_document(file, env).values == {"a": {"b": 1}}


def test_a_named_pipe_is_not_waited_for(write: Write) -> None:
    """It would block for ever, before any deadline is in force."""
    file = write('{ a: { $include: "pipe.json5" } }')
    os.mkfifo(file.parent / "pipe.json5")
    with pytest.raises(ConfigError, match=r"pipe\.json5 is not a file"):
        read_document(file)


def test_files_that_include_each_other_many_times_have_an_end(write: Write) -> None:
    """Eight small files that each include the next one ten times would take days to read."""
    tens = {f"n{depth}_json5": "{ a: { $include: [" + f'"n{depth + 1}.json5",' * 10 + "] } }" for depth in range(8)}
    file = write('{ a: { $include: "n0.json5" } }', **tens, n8_json5="{ b: 1 }")
    with pytest.raises(ConfigError, match="more than 1000 files are included"):
        read_document(file)
