"""What a text begins with: the response prefix, or messages that were said before it."""

from collections.abc import Sequence


def with_prefix(text: str, prefix: str) -> str:
    """`text` behind the response prefix, once; a prefix that ends in no white space gets a space."""
    if not prefix.strip() or text.startswith(prefix):
        return text
    return f"{prefix}{'' if prefix[-1].isspace() else ' '}{text}"


def begins_with(text: str, messages: Sequence[str]) -> bool:
    """Whether the first lines of `text` are these messages, white space apart."""
    return behind(text, messages) is not None


def behind(text: str, messages: Sequence[str]) -> str | None:
    """What stands in `text` below these messages; None if its first lines are not these, white space apart."""
    wanted, found = "".join("".join(messages).split()), ""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines if wanted else (), start=1):
        found += "".join(line.split())
        if found == wanted:
            return "".join(lines[at:]).lstrip("\r\n")
    return None
