"""Pictures that strangers post: small ones of each kind, with bytes changed, cut, doubled and added."""

from io import BytesIO
from random import Random

from hypothesis import strategies as st
from PIL import Image

from oc_trio.agent.image_bounds import GIF, JPEG, PNG, WEBP, ImageBounds
from oc_trio.errors import PictureUnusable
from oc_trio.runtime.conversation.picture_codec import fit
from tests.pictures import animation, encoded, exif, gradient, photo

SEEDS = [
    photo(48, 32, orientation=6, gps=True),
    photo(48, 32, progressive=True),
    encoded(gradient(20, 20).convert("CMYK"), "JPEG"),
    encoded(gradient(20, 20), "PNG", exif=exif(3)),
    encoded(gradient(20, 20).convert("P"), "PNG", transparency=bytes(range(200))),
    encoded(Image.new("I;16", (9, 9), 700), "PNG"),
    animation("GIF"),
    animation("PNG"),
    animation("WEBP"),
    encoded(gradient(20, 20), "TIFF", compression="tiff_lzw", exif=exif(3)),
    encoded(gradient(20, 20).convert("F"), "TIFF"),
    encoded(gradient(20, 20), "BMP"),
    encoded(gradient(32, 32), "ICO", sizes=[(16, 16), (32, 32)]),
    encoded(gradient(20, 20), "AVIF"),
]
BOUNDS = (ImageBounds(), ImageBounds(frozenset({PNG, JPEG}), 100_000, 300), ImageBounds(most_bytes=1000, edge=9))
INPUTS = st.tuples(st.sampled_from(SEEDS), st.integers(0, 2**32), st.sampled_from(BOUNDS)).map(
    lambda drawn: (damaged(drawn[0], Random(drawn[1])), drawn[2])
)


def read_picture(case: tuple[bytes, ImageBounds]) -> bool:
    """A picture within bounds, or `PictureUnusable`."""
    data, bounds = case
    try:
        made = fit(data, bounds)
    except PictureUnusable:
        return False
    assert len(made.data) <= bounds.most_bytes
    assert made.mime in {PNG, JPEG, GIF, WEBP}
    assert max(Image.open(BytesIO(made.data)).size) <= bounds.edge
    return True


def damaged(seed: bytes, rng: Random) -> bytes:
    """Headers are damaged more often than pixels."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(min(len(data), rng.choice((64, 4096))) or 1)
        end = at + rng.choice((1, 2, 4, 50))
        match rng.choice(("set", "flip", "cut", "double", "end", "insert")):
            case "set":
                data[at:end] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) * len(data[at:end])
            case "flip" if data:
                data[at] ^= 1 << rng.randrange(8)
            case "cut":
                del data[at:end]
            case "double":
                data[at:at] = data[at:end]
            case "insert":
                data[at:at] = rng.randbytes(end - at)
            case "end":
                del data[max(end, len(data) // 2) :]
    return bytes(data)
