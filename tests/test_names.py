"""One word per thing: names that the field has no use for stay out of the code.

docs/glossary.md has the words that are ours; CONTRIBUTING.md says how names are chosen. A word that has two meanings
is listed only if one of them has no place here.
"""

import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A public class of a module: the statement begins its line, the name has no underscore at the front.
CLASS = re.compile(r"^class ([A-Za-z]\w*)", re.MULTILINE)
# The banned word, and what the thing is called.
BANNED = {
    "bench": "services, tools",
    "chronicle": "transcript",
    "climate": "fault rates",
    "deed": "action",
    "deeds": "actions",
    "desk": "handler",
    "door": "endpoint",
    "doors": "endpoints",
    "errand": "pending command",
    "face": "endpoint, edge",
    "faces": "endpoints",
    "finale": "turn result",
    "happening": "event, input",
    "inbox": "event handler",
    "intake": "admission",
    "kit": "services",
    "parcel": "composed message",
    "postbox": "message sender",
    "strike": "failed attempt",
    "strikes": "failed attempts",
    "turnstile": "request limiter",
    "uplink": "connection",
    "visit": "caller",
    "visitor": "request in flight",
    "visitors": "requests in flight",
    "wiring": "dependencies",
    "workshop": "factory",
}


# Words that are banned in tests, too, but for what has them as a name of its own: the benchmarks, the contract kit.
BANNED_IN_TESTS = BANNED | {
    "betrayal": "model fault",
    "betrayed": "faulted",
    "diary": "outcomes, record",
    "fate": "draw, fault",
    "mishap": "fault",
    "moody": "flaky",
    "office": "sessions",
    "scene": "harness, clients",
    "stage": "agent, harness",
    "storm": "faults",
    "treachery": "model faults",
    "vandalise": "delete",
}
OWN_NAMES = {"bench": ("tests/bench", "scripts"), "kit": ("tests/contract",)}


def words_of(source: str) -> set[str]:
    """The words of all names in a module, lower case: `HookDelivery` has two, `send_or_say` three."""
    names = {
        token.string for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.NAME
    }
    return {word.lower() for name in names for word in parts(name)}


def parts(text: str) -> set[str]:
    return set(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text))


@pytest.mark.parametrize(
    ("name", "words"), [("HookDelivery", {"hook", "delivery"}), ("send_or_say", {"send", "or", "say"})]
)
def test_a_name_is_taken_apart(name: str, words: set[str]) -> None:
    """Camel case and snake case are divided into words."""
    assert words_of(name) == words


def banned_names(folder: str, banned: Mapping[str, str]) -> list[str]:
    """Where a word of `banned` is in a name, of a module below `folder` or in one."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        source, where = path.read_text("utf-8"), path.relative_to(ROOT).as_posix()
        lower = source.lower()
        # What is nowhere in the text need not be looked for among the names, which takes three times as long.
        suspects = {word for word in banned if word in lower or word in path.stem}
        if suspects and (words := suspects & (words_of(path.stem) | words_of(source))):
            found += [
                f"{where}: {word} ({banned[word]})"
                for word in sorted(words)
                if not where.startswith(OWN_NAMES.get(word, ()))
            ]
    return found


@pytest.mark.parametrize(("folder", "banned"), [("oc_trio", BANNED), ("tests", BANNED_IN_TESTS)])
def test_no_banned_word_is_in_a_name(folder: str, banned: Mapping[str, str]) -> None:
    """Neither of a module nor in one."""
    assert banned_names(folder, banned) == []


def test_a_public_class_name_is_defined_once() -> None:
    """Two classes with one name are mistaken for each other in searches, imports and conversation."""
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "oc_trio").rglob("*.py")):
        for name in CLASS.findall(path.read_text("utf-8")):
            modules[name].append(path.relative_to(ROOT).as_posix())
    assert {name: places for name, places in modules.items() if len(places) > 1} == {}
