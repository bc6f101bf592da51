"""The words before an answer: `responsePrefix` with its names filled in."""

import re

AUTO = "auto"

_NAME = re.compile(r"\{([A-Za-z.]+)\}")


def reply_prefix(template: str, *, identity: str = "", model: str = "", thinking: str = "") -> str:
    """`auto` is the agent's name in brackets, empty where it has none; names that nobody knows stay as they are.

    `model` is `provider/model`. Known names: model, modelFull, provider, think, thinkingLevel, identity.name,
    identityName; case does not matter.
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
    return _NAME.sub(lambda found: known.get(found[1].lower()) or found[0], template)
