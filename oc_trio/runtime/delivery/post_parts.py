"""Makes posts of texts, buttons and files, each with as many files as Mattermost takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.ids import FileId
from oc_trio.mattermost.files import MAX_PER_POST


@frozen
class PostPart:
    """One post of a message."""

    text: str
    props: Mapping[str, Any] = field(factory=dict, hash=False)
    file_ids: tuple[FileId, ...] = ()


def post_parts(
    texts: Sequence[str], props: Mapping[str, Any], file_ids: Sequence[FileId], *, main: int
) -> tuple[PostPart, ...]:
    """A post per text; `props` (buttons) and the first files are on text number `main`, the other files in posts of
    their own behind them. Without texts, buttons and the first files have a post without text.
    """
    groups = [tuple(file_ids[at : at + MAX_PER_POST]) for at in range(0, len(file_ids), MAX_PER_POST)]
    parts = [PostPart(text) for text in texts]
    if not parts and (props or groups):
        # A post without text is made only where buttons or files need one.
        parts.append(PostPart(""))
    if parts:
        parts[main] = evolve(parts[main], props=props, file_ids=groups[0] if groups else ())
    return (*parts, *(PostPart("", file_ids=group) for group in groups[1:]))
