"""What the command line of `oc-trio init` has said; the rest is asked for."""

from pathlib import Path

from attrs import field

from oc_trio.classes import frozen


@frozen
class InitOptions:
    """An empty text: not said, so it is asked for, unless nothing may be asked."""

    url: str
    token: str = field(repr=False)
    token_file: Path | None
    provider: str
    model: str
    model_url: str
    api_key_file: Path | None
    name: str
    strangers: str
    channels: str
    people: tuple[str, ...]
    output: Path
    overwrite: bool
