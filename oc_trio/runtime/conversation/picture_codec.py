"""Pictures made into what a model takes, by Pillow (the extra `images`). Raises ImportError where that is missing.

Blocking and pure: bytes in, bytes out. Pillow is one more parser of strangers' bytes, so only common formats are
opened, sizes are judged before pixels are decoded, and whatever it raises becomes one error.
"""

import re
import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageOps,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from oc_trio.agent.image_bounds import GIF, JPEG, PNG, WEBP, ImageBounds, Picture
from oc_trio.errors import PictureUnusable

# A phone's 50 megapixels are JPEGs, which are decoded at a fraction of their size. Of others each pixel takes up to
# 17 bytes meanwhile (WebP).
MOST_JPEG_PIXELS = 52_000_000
MOST_PIXELS = 25_000_000
# A progressive JPEG has about ten; each costs a pass over all pixels, and 78 bytes are enough for one.
_MOST_SCANS = 100
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_SCAN, _END = 0xDA, 0xD9
# libtiff writes a line to standard error for each that it doesn't know.
_MOST_TAGS = 200
_JPEGS = frozenset({"JPEG", "MPO"})
_KINDS = {"PNG": PNG, "JPEG": JPEG, "MPO": JPEG, "GIF": GIF, "WEBP": WEBP}
_PLUGINS = (AvifImagePlugin, IcoImagePlugin, TiffImagePlugin, WebPImagePlugin)  # importing them registers them
_WANTED = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "AVIF", "HEIF")
# Drawings, screenshots and icons: JPEG blurs their letters.
_DRAWN = frozenset({"PNG", "GIF", "BMP", "ICO"})
_MOST_DRAWN_BYTES = 1_500_000
_PLAIN = frozenset({"L", "RGB", "RGBA"})
# Modes that every server's decoder knows; CMYK and 16 bits it may take for something else.
_PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_QUALITIES = (90, 75, 60)
_SMALLEST_EDGE = 128
_ORIENTATION, _GPS = 0x0112, 0x8825
# What Pillow and its plugins raise on garbage.
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)
_TOO_MANY_PIXELS = "it has too many pixels to be read"

# The frames inside an ICO or GIF are judged by Pillow alone. Up to twice its limit it only warns.
Image.MAX_IMAGE_PIXELS = MOST_JPEG_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
Image.preinit()
with suppress(ImportError):  # an operator may install it beside Pillow, for what iPhones write
    from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

    register_heif_opener()
_FORMATS = tuple(form for form in _WANTED if form in Image.OPEN)


def fit(data: bytes, bounds: ImageBounds) -> Picture:
    """`data` as it is where it is within `bounds`, else scaled down or recoded, without its metadata.

    Raises `PictureUnusable` for what is no picture, is damaged, has too many pixels, or can't be made small enough.
    """
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as opened:
            _judge(opened, data)
            return _fitted(opened, data, bounds)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise PictureUnusable(_TOO_MANY_PIXELS) from problem
    except UnidentifiedImageError as problem:
        raise PictureUnusable("it can't be read as a picture") from problem
    except _UNREADABLE as problem:
        raise PictureUnusable("it is damaged") from problem


def _judge(opened: Image.Image, data: bytes) -> None:
    """Raises `PictureUnusable` for what would cost too much memory or time."""
    is_jpeg = opened.format in _JPEGS
    if opened.width * opened.height > (MOST_JPEG_PIXELS if is_jpeg else MOST_PIXELS):
        raise PictureUnusable(_TOO_MANY_PIXELS)
    if is_jpeg and _scans(data) > _MOST_SCANS:
        raise PictureUnusable("it has too many scans to be read")
    if isinstance(opened, TiffImagePlugin.TiffImageFile) and len(opened.tag_v2) > _MOST_TAGS:
        raise PictureUnusable("it has too many fields to be read")


def _scans(data: bytes) -> int:
    """The scans of a JPEG before its end: phones append videos to their photos."""
    count, found = 0, _MARKER.search(data)
    while found is not None and (marker := data[found.start() + 1]) != _END and count <= _MOST_SCANS:
        count += marker == _SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        found = _MARKER.search(data, found.end() + length)
    return count


def _fitted(opened: Image.Image, data: bytes, bounds: ImageBounds) -> Picture:
    form, size = opened.format or "", opened.size
    kind = _KINDS.get(form, "")
    # An MPO is a JPEG with a preview or depth behind it.
    has_more = form != "MPO" and bool(getattr(opened, "is_animated", False))
    is_within = kind in bounds.kinds and len(data) <= bounds.most_bytes and max(size) <= bounds.edge
    if is_within and not has_more and opened.mode in _PLAIN_MODES and not _tells_more(opened):
        opened.load()  # a damaged one would be refused by the model's server, and the turn with it
        return Picture(kind, data)
    made = _pixels(opened, bounds.edge)
    mime, encoded = _encoded(made, bounds, is_drawn=form in _DRAWN)
    notes = []
    if has_more:
        notes.append("only its first page" if form == "TIFF" else "only its first frame")
    if max(made.size) < max(size):
        notes.append(f"scaled down from {size[0]}x{size[1]} pixels")
    return Picture(mime, encoded, ", ".join(notes))


def _tells_more(opened: Image.Image) -> bool:
    """Whether its metadata turn it, or say where it was taken."""
    try:
        exif = opened.getexif()
        return exif.get(_ORIENTATION, 1) != 1 or _GPS in exif or b"GPSL" in _bytes(opened.info.get("xmp"))
    except _UNREADABLE:
        return True  # better without


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode("utf-8", "replace")


def _pixels(opened: Image.Image, edge: int) -> Image.Image:
    """Its first frame in 8 bits, upright, `edge` long at most, with nothing but pixels."""
    longest = max(opened.size)
    if longest > edge:
        # A JPEG is decoded at a half, a quarter or an eighth of its size, as long as that is enough.
        opened.draft(None, (max(1, opened.width * edge // longest), max(1, opened.height * edge // longest)))
    opened.load()
    made = _plain(opened)
    made.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    if made.mode == "RGBA" and _least_alpha(made) == 255:
        made = made.convert("RGB")
    with suppress(*_UNREADABLE):  # an EXIF block that can't be read turns nothing
        made = ImageOps.exif_transpose(made)
    made.info = {}  # encoders would write comments, profiles and texts again
    return made


def _plain(opened: Image.Image) -> Image.Image:
    """As L, RGB or, where something shows through, RGBA."""
    if opened.mode in {"I", "F"} or opened.mode.startswith("I;16"):
        return _eight_bits(opened)
    if opened.mode in _PLAIN and "transparency" not in opened.info:
        return opened  # large ones are not copied
    if opened.has_transparency_data:
        return opened.convert("RGBA")
    return opened.convert("L" if opened.mode in {"1", "L"} else "RGB")


def _eight_bits(opened: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, brought to 8. What range 32 bits mean, nothing says but the values themselves."""
    is_short = opened.mode.startswith("I;16")
    wide = opened.convert("I") if is_short else opened.copy()
    wide.info.pop("transparency", None)
    low, high = _range(wide)
    if is_short or (wide.mode == "I" and low >= 0 and 255 < high <= 65_535):
        low, high = 0, 65_535
    elif wide.mode == "I" and low >= 0 and high <= 255:
        low, high = 0, 255
    if high > low:
        scale = 255 / (high - low)
        wide = wide.point(lambda value: value * scale - low * scale)
    return wide.convert("L")


def _least_alpha(picture: Image.Image) -> float:
    return _range(picture.getchannel("A"))[0]


def _range(grey: Image.Image) -> tuple[float, float]:
    low, high = grey.getextrema()
    assert not isinstance(low, tuple)
    assert not isinstance(high, tuple)
    return low, high


def _encoded(made: Image.Image, bounds: ImageBounds, *, is_drawn: bool) -> tuple[str, bytes]:
    if is_drawn or made.mode == "RGBA":
        most = bounds.most_bytes if made.mode == "RGBA" else min(bounds.most_bytes, _MOST_DRAWN_BYTES)
        data = _saved(made, "PNG")
        if len(data) <= most:
            return PNG, data
    if made.mode == "RGBA":  # JPEG knows no transparency, and black letters on black are none
        ground = Image.new("RGB", made.size, "white")
        ground.paste(made, mask=made.getchannel("A"))
        made = ground
    for quality in _QUALITIES:
        data = _saved(made, "JPEG", quality=quality)
        if len(data) <= bounds.most_bytes:
            return JPEG, data
    edge = max(made.size) * 3 // 4
    while edge >= _SMALLEST_EDGE:
        made.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        data = _saved(made, "JPEG", quality=_QUALITIES[1])
        if len(data) <= bounds.most_bytes:
            return JPEG, data
        edge = edge * 3 // 4
    raise PictureUnusable("it can't be made small enough")


def _saved(made: Image.Image, form: str, **options: int) -> bytes:
    out = BytesIO()
    made.save(out, form, **options)
    return out.getvalue()
