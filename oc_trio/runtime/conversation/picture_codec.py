"""Scales and recodes pictures with Pillow (the extra `images`). Importing this raises ImportError without it.

Blocking and pure: bytes in, bytes out. The bytes are untrusted, so only common formats are opened, sizes are checked
before pixels are decoded, and whatever Pillow raises becomes `PictureUnusable`.
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

# Phones make JPEGs of 50 megapixels, which are decoded at a fraction of their size. In other formats a pixel takes up
# to 17 bytes of memory (WebP).
MAX_JPEG_PIXELS = 52_000_000
MAX_PIXELS = 25_000_000
# A progressive JPEG has about ten scans. Each costs a pass over all pixels, and 78 bytes of file are enough for one.
_MAX_SCANS = 100
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_SCAN, _END = 0xDA, 0xD9
# libtiff writes a line to standard error for each tag that it doesn't know.
_MAX_TAGS = 200
_JPEGS = frozenset({"JPEG", "MPO"})
_KINDS = {"PNG": PNG, "JPEG": JPEG, "MPO": JPEG, "GIF": GIF, "WEBP": WEBP}
_PLUGINS = (AvifImagePlugin, IcoImagePlugin, TiffImagePlugin, WebPImagePlugin)  # importing them registers them
_WANTED = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "AVIF", "HEIF")
# Formats of drawings, screenshots and icons, which stay PNG: JPEG blurs letters.
_DRAWN = frozenset({"PNG", "GIF", "BMP", "ICO"})
# A larger one is likely a photo in a drawing's format; JPEG makes it a fraction of that.
_MAX_DRAWN_BYTES = 1_500_000
_PLAIN = frozenset({"L", "RGB", "RGBA"})
# Modes that every model server's decoder reads correctly; CMYK and 16 bits may be misread.
_PLAIN_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
# From losses that hardly anybody sees down to where small letters begin to blur; below that, fewer pixels are better.
_QUALITIES = (90, 75, 60)
# Smaller than this nothing is recognised: the picture is left out.
_SMALLEST_EDGE = 128
_ORIENTATION, _GPS = 0x0112, 0x8825
# What Pillow and its plugins raise on damaged files.
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

# For the frames inside an ICO or GIF only Pillow's own limit holds; up to twice that it would only warn.
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
Image.preinit()
with suppress(ImportError):  # an operator may install it beside Pillow, for what iPhones write
    from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

    register_heif_opener()
_FORMATS = tuple(form for form in _WANTED if form in Image.OPEN)


def fit(data: bytes, bounds: ImageBounds) -> Picture:
    """`data` unchanged where it is within `bounds`, else scaled down or recoded, without its metadata.

    Raises `PictureUnusable` for what is no picture, is damaged, has too many pixels, or can't be picture small enough.
    """
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as opened:
            _check_limits(opened, data)
            return _fit(opened, data, bounds)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise PictureUnusable(_TOO_MANY_PIXELS) from problem
    except UnidentifiedImageError as problem:
        raise PictureUnusable("it can't be read as a picture") from problem
    except _UNREADABLE as problem:
        raise PictureUnusable("it is damaged") from problem


def _check_limits(opened: Image.Image, data: bytes) -> None:
    """Check the limits on memory and time. Raises `PictureUnusable`."""
    is_jpeg = opened.format in _JPEGS
    if opened.width * opened.height > (MAX_JPEG_PIXELS if is_jpeg else MAX_PIXELS):
        raise PictureUnusable(_TOO_MANY_PIXELS)
    if is_jpeg and _scans(data) > _MAX_SCANS:
        raise PictureUnusable("it has too many scans to be read")
    if isinstance(opened, TiffImagePlugin.TiffImageFile) and len(opened.tag_v2) > _MAX_TAGS:
        raise PictureUnusable("it has too many fields to be read")


def _scans(data: bytes) -> int:
    """How many scans a JPEG has before its end marker: phones append videos to their photos."""
    count, found = 0, _MARKER.search(data)
    while found is not None and (marker := data[found.start() + 1]) != _END and count <= _MAX_SCANS:
        count += marker == _SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        found = _MARKER.search(data, found.end() + length)
    return count


def _fit(opened: Image.Image, data: bytes, bounds: ImageBounds) -> Picture:
    form, size = opened.format or "", opened.size
    kind = _KINDS.get(form, "")
    # An MPO is a JPEG with a preview or depth behind it.
    has_more_frames = form != "MPO" and bool(getattr(opened, "is_animated", False))
    is_within = kind in bounds.kinds and len(data) <= bounds.most_bytes and max(size) <= bounds.edge
    if is_within and not has_more_frames and opened.mode in _PLAIN_MODES and not _has_private_metadata(opened):
        opened.load()  # raises on damage: the model's server would refuse the whole request
        return Picture(kind, data)
    picture = _pixels(opened, bounds.edge)
    mime, encoded = _encode(picture, bounds, is_drawn=form in _DRAWN)
    notes = []
    if has_more_frames:
        notes.append("only its first page" if form == "TIFF" else "only its first frame")
    if max(picture.size) < max(size):
        notes.append(f"scaled down from {size[0]}x{size[1]} pixels")
    return Picture(mime, encoded, ", ".join(notes))


def _has_private_metadata(opened: Image.Image) -> bool:
    """Whether its metadata rotate it, or hold a position (GPS)."""
    try:
        exif = opened.getexif()
        return exif.get(_ORIENTATION, 1) != 1 or _GPS in exif or b"GPSL" in _bytes(opened.info.get("xmp"))
    except _UNREADABLE:
        return True  # recode it without its metadata


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode("utf-8", "replace")


def _pixels(opened: Image.Image, edge: int) -> Image.Image:
    """Its first frame in 8 bits, rotated upright, `edge` pixels long at most, without metadata."""
    longest = max(opened.size)
    if longest > edge:
        # A JPEG is decoded at a half, a quarter or an eighth of its size, as long as that is enough.
        opened.draft(None, (max(1, opened.width * edge // longest), max(1, opened.height * edge // longest)))
    opened.load()
    picture = _to_plain_mode(opened)
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    if picture.mode == "RGBA" and _least_alpha(picture) == 255:
        picture = picture.convert("RGB")
    with suppress(*_UNREADABLE):  # without a readable EXIF block it is not rotated
        picture = ImageOps.exif_transpose(picture)
    picture.info = {}  # encoders would write comments, profiles and texts again
    return picture


def _to_plain_mode(opened: Image.Image) -> Image.Image:
    """Converted to L, RGB or, with transparency, RGBA."""
    if opened.mode in {"I", "F"} or opened.mode.startswith("I;16"):
        return _to_eight_bits(opened)
    if opened.mode in _PLAIN and "transparency" not in opened.info:
        return opened  # no copy: it may be large
    if opened.has_transparency_data:
        return opened.convert("RGBA")
    return opened.convert("L" if opened.mode in {"1", "L"} else "RGB")


def _to_eight_bits(opened: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, scaled to 8. The value range of 32-bit files is not declared, so it is measured."""
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


def _least_alpha(image: Image.Image) -> float:
    return _range(image.getchannel("A"))[0]


def _range(grey: Image.Image) -> tuple[float, float]:
    low, high = grey.getextrema()
    assert not isinstance(low, tuple)
    assert not isinstance(high, tuple)
    return low, high


def _encode(picture: Image.Image, bounds: ImageBounds, *, is_drawn: bool) -> tuple[str, bytes]:
    if is_drawn or picture.mode == "RGBA":
        most = bounds.most_bytes if picture.mode == "RGBA" else min(bounds.most_bytes, _MAX_DRAWN_BYTES)
        data = _save(picture, "PNG")
        if len(data) <= most:
            return PNG, data
    if picture.mode == "RGBA":  # JPEG has no transparency; on a black ground black letters would vanish
        canvas = Image.new("RGB", picture.size, "white")
        canvas.paste(picture, mask=picture.getchannel("A"))
        picture = canvas
    for quality in _QUALITIES:
        data = _save(picture, "JPEG", quality=quality)
        if len(data) <= bounds.most_bytes:
            return JPEG, data
    # Each step has about half of the pixels, and with them about half of the bytes.
    edge = max(picture.size) * 3 // 4
    while edge >= _SMALLEST_EDGE:
        picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        data = _save(picture, "JPEG", quality=_QUALITIES[1])
        if len(data) <= bounds.most_bytes:
            return JPEG, data
        edge = edge * 3 // 4
    raise PictureUnusable("it can't be made small enough")


def _save(picture: Image.Image, form: str, **options: int) -> bytes:
    out = BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()
