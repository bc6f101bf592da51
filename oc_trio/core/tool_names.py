"""Names of tools and tool servers as models see them: with `_` for each character that model APIs refuse."""

import re

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def visible_name(name: str) -> str:
    """A name as models see it.

    >>> visible_name("my.files")
    'my_files'
    """
    return _FOREIGN.sub("_", name)


def visible_pattern(pattern: str) -> str:
    """A pattern of names with `*`, as it matches the names that models see."""
    return "*".join(visible_name(part) for part in pattern.split("*"))
