"""The output of a wordy model: an answer in several messages with a tool call after each, in paragraphs.

The text is the answer's; where it is cut depends on the question alone, so that a second attempt is the same.
"""

import itertools
import random
import re

from oc_trio.agent.port import Message, Role

# How a question's token is written in its text.
TOKEN = re.compile(r"\[(q\d+v\d+)\]")
HEAD = re.compile(r"\bRe ((?:q\d+v\d+ )*q\d+v\d+):")


def heads(text: str) -> list[tuple[str, ...]]:
    """The questions that a text says it answers, as each answer in it begins with them."""
    return [tuple(found[1].split()) for found in HEAD.finditer(text)]


def number_of(token: str) -> int:
    """Which question a token stands for."""
    return int(token[1:].partition("v")[0])


def messages(seed: int, tokens: tuple[str, ...], answer: str) -> list[str]:
    """The answer as one to four messages, each of one to three paragraphs."""
    rng = random.Random(f"wordy {seed} {tokens}")
    words = answer.removeprefix(head := f"Re {' '.join(tokens)}:").split()
    tail = [" ".join(words[-2:])]  # "(end q1v0)"
    pieces = [head, *words[:-2], *tail]
    cuts = sorted({0, len(pieces), *(rng.randint(1, len(pieces)) for _ in range(rng.randint(0, 3)))})
    return [_paragraphs(pieces[start:end], rng) for start, end in itertools.pairwise(cuts)]


def behind(pieces: list[str], texts: list[str]) -> list[str]:
    """The pieces that were not said. Behind one that a question came after was no call: it is no message by itself."""
    spoken, left = "".join("".join(texts).split()), [*pieces]
    while left and spoken.startswith(piece := "".join(left[0].split())):
        spoken = spoken.removeprefix(piece)
        del left[0]
    return left


def earlier_texts(request: tuple[Message, ...]) -> list[str]:
    """The texts of this turn from an earlier run, as the transcript has them."""
    texts: list[str] = []
    for message in reversed(request):
        if message.role is Role.ASSISTANT and not message.tool_calls:
            break  # an earlier turn's answer
        if message.role is Role.ASSISTANT and message.text.strip():
            texts.append(message.text)
    return texts[::-1]


def _paragraphs(words: list[str], rng: random.Random) -> str:
    text = words[0]
    for word in words[1:]:
        text += ("\n\n" if rng.random() < 0.15 else " ") + word
    return text
