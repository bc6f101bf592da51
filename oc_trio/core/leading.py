"""What a text begins with: the response prefix, or messages that were said before it."""


def with_prefix(text: str, prefix: str) -> str:
    """`text` behind the response prefix, once; a prefix that ends in no white space gets a space."""
    if not prefix.strip() or text.startswith(prefix):
        return text
    return f"{prefix}{'' if prefix[-1].isspace() else ' '}{text}"


def begins_with(text: str, messages: list[str]) -> bool:
    """Whether the first lines of `text` are these messages, white space apart."""
    wanted, found = "".join("".join(messages).split()), ""
    for line in text.splitlines() if wanted else ():
        found += "".join(line.split())
        if found == wanted:
            return True
    return False
