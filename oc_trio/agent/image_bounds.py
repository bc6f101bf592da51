"""What images the model APIs take: types, bytes, and the size beyond which a model sees no more detail."""

from collections.abc import Iterable
from typing import assert_never

from oc_trio.classes import frozen
from oc_trio.core.model_apis import ModelApi, built_in_api

PNG, JPEG, GIF, WEBP = "image/png", "image/jpeg", "image/gif", "image/webp"
# Without Pillow these go to any model as they are.
COMMON = frozenset({PNG, JPEG, GIF, WEBP})
# Anthropic takes 5 MB in base64, OpenAI more; other servers and the proxies before them rarely more.
_MAX_BYTES = 3_700_000


@frozen
class ImageBounds:
    """Images within these are sent unchanged: MIME types, bytes before base64, and the longest side in pixels."""

    kinds: frozenset[str] = COMMON
    most_bytes: int = _MAX_BYTES
    edge: int = 2048


def image_bounds(api: str) -> ImageBounds:
    """The bounds of a provider's `api`; those of programs and installed agents are common ones."""
    match built_in_api(api):
        case ModelApi.ANTHROPIC:
            # Larger ones are taken up to 8000 pixels, and scaled to this by the API itself.
            return ImageBounds(edge=1568)
        case ModelApi.OPENAI:
            # OpenAI takes WebP and still GIFs, but few other servers of its API do (llama.cpp takes neither).
            return ImageBounds(frozenset({PNG, JPEG}))
        case ModelApi.COMMAND | ModelApi.SCRIPTED | None:
            return ImageBounds()
        case never:
            assert_never(never)


def narrowest(bounds: Iterable[ImageBounds]) -> ImageBounds:
    """The bounds that satisfy all of `bounds`."""
    first, *others = bounds
    return ImageBounds(
        first.kinds.intersection(*(one.kinds for one in others)),
        min(one.most_bytes for one in (first, *others)),
        min(one.edge for one in (first, *others)),
    )


@frozen
class Picture:
    """An image as a model gets it. `note` says how it was changed, empty if it was not."""

    mime: str
    data: bytes
    note: str = ""
