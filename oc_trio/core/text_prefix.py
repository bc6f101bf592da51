"""What stands at the start of an answer: the configured `responsePrefix`, or the turn's earlier messages.

The prefix is a template with names such as `{model}`. The earlier messages are looked for because some agents repeat
in `Final.text` what they streamed before, and it must not appear twice.
"""

import re
from collections.abc import Sequence

AUTO = "auto"

_NAME = re.compile(r"\{([A-Za-z.]+)\}")


def reply_prefix(template: str, *, identity: str = "", model: str = "", thinking: str = "") -> str:
    """The prefix with its names filled in; `auto` is the agent's name in brackets, or nothing if it has no name.

    `model` is `provider/model`. Known names: model, modelFull, provider, think, thinkingLevel, identity.name,
    identityName, in any case; unknown names stay as they are.
    """
    if template == AUTO:
        return f"[{identity}]" if identity else ""
    provider, _, short = model.rpartition("/")
    known = {
        "model": short,
        "modelfull": model,
        "provider": provider,
        "think": thinking,
        "thinkinglevel": thinking,
        "identity.name": identity,
        "identityname": identity,
    }
    return _NAME.sub(lambda match: known.get(match[1].lower()) or match[0], template)


def with_prefix(text: str, prefix: str) -> str:
    """`text` with the response prefix before it, once; a space is added unless the prefix ends in white space."""
    if not prefix.strip() or text.startswith(prefix):
        return text
    return f"{prefix}{'' if prefix[-1].isspace() else ' '}{text}"


def begins_with(text: str, messages: Sequence[str]) -> bool:
    """Whether the first lines of `text` are these messages, ignoring white space."""
    return text_after(text, messages) is not None


def text_after(text: str, messages: Sequence[str]) -> str | None:
    """The rest of `text` after these messages; None if it does not begin with them, ignoring white space.

    A message must end at a line end of `text`: an answer may begin with the same word as an earlier message.
    """
    wanted, seen = "".join("".join(messages).split()), ""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines if wanted else (), start=1):
        seen += "".join(line.split())
        if seen == wanted:
            return "".join(lines[at:]).lstrip("\r\n")
    return None
