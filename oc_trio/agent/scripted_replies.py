"""The scripted agent's replies to messages without a directive: rules on the last message. Pure."""

import re
from collections.abc import Sequence

from oc_trio.agent.port import Message, Role

HELP = """I am a scripted agent: no model, no network. Say something, or ask me to show what a reply can do:

- `!slow 50` streams fifty words slowly, `!long 9000` is a reply too long for one post
- `!ponder`, `!headline Reading`, `!plan Look|Think|Answer`, `!tool search cats` show work in progress
- `!code`, `!table`, `!buttons Yes|No`, `!media https://example.com/cat.png` show forms of reply
- `!fail`, `!unavailable`, `!silent` show what happens when there is no answer

They can be combined: `!ponder !tool search cats !say Found three.`"""

_ECHOES = (
    "You said: {text}",
    "I hear you: “{text}”. Ask me for *help* to see what I can show you.",
    "Noted: {text}",
    "“{text}”, you say. I am only a script, but I listen.",
)


def reply(messages: Sequence[Message]) -> str:
    """An answer to the last of `messages`, which is a user's; the same conversation gets the same answer."""
    text = messages[-1].text.strip() if messages else ""
    questions = [message.text.strip() for message in messages[:-1] if message.role is Role.USER]
    plain = text.lower().strip(" ?!.")
    if messages and messages[-1].images:
        return _seen(messages[-1], text)
    if not text:
        return "You sent me an empty message."
    if plain in ("help", "what can you do"):
        return HELP
    if re.search(r"\bwhat (did|have) i (say|said|ask|just say|just said)", plain):
        return _recalled(questions)
    if re.search(r"\bwhat(?:'s| is) my name", plain):
        return _named(questions)
    if match := re.search(r"\bmy name is (\w+)", text, re.IGNORECASE):
        return f"Nice to meet you, {match[1]}. I will remember that for this conversation."
    if match := re.search(r"(-?\d{1,9})\s*([+*x-])\s*(-?\d{1,9})", plain):
        return f"{match[0]} is {_sum(int(match[1]), match[2], int(match[3]))}."
    if re.match(r"(hello|hi|hey|good (morning|evening|day))\b", plain):
        return (
            "Hello again!"
            if questions
            else "Hello! I am a scripted agent. Ask me for *help* to see what I can show you."
        )
    if re.match(r"(thanks|thank you)\b", plain):
        return "You are welcome."
    return _ECHOES[(len(text) + len(questions)) % len(_ECHOES)].format(text=text)


def _seen(message: Message, text: str) -> str:
    images = ", ".join(f"{image.mime} of {len(image.data)} bytes" for image in message.images)
    return f"I see {images}." + (f" And you said: {text}" if text else "")


def _recalled(questions: list[str]) -> str:
    if not questions:
        return "Nothing yet: this is your first message in this conversation."
    lines = "\n".join(f"{at}. {line}" for at, line in enumerate(questions[-5:], max(1, len(questions) - 4)))
    return f"In this conversation you said:\n\n{lines}"


def _named(questions: list[str]) -> str:
    names = [match[1] for line in questions if (match := re.search(r"\bmy name is (\w+)", line, re.IGNORECASE))]
    return f"Your name is {names[-1]}." if names else "You have not told me."


def _sum(left: int, sign: str, right: int) -> int:
    return left + right if sign == "+" else left - right if sign == "-" else left * right
