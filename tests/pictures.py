"""Real pictures, small and large, as people post them."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image

GPS = {0x8825: {1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)}}


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    out = BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    """Black at the left, white at the right, so that its turns can be told apart."""
    return Image.linear_gradient("L").rotate(90).resize((width, height)).convert("RGB")


def noise(width: int, height: int) -> Image.Image:
    """What no encoder makes small, of tiles of 300 pixels."""
    size = min(width, 300), min(height, 300)
    tile = Image.merge("RGB", [Image.effect_noise(size, 200) for _ in range(3)])
    made = Image.new("RGB", (width, height))
    for left in range(0, width, 300):
        for top in range(0, height, 300):
            made.paste(tile, (left, top))
    return made


def exif(orientation: int = 1, gps: dict[int, Any] | None = None) -> bytes:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = "A camera of Alice's"
    if gps:
        made[0x8825] = gps
    return made.tobytes()


def photo(width: int = 40, height: int = 20, *, orientation: int = 1, gps: bool = False, **options: Any) -> bytes:
    """A JPEG as a phone makes it."""
    data = exif(orientation, GPS[0x8825] if gps else None)
    return encoded(gradient(width, height), "JPEG", exif=data, **options)


def animation(form: str = "GIF") -> bytes:
    """Three frames, the first of them red."""
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "green", "blue")]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of so many pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    """A picture that was read whole."""
    picture = Image.open(BytesIO(data))
    picture.load()
    return picture


def grey(picture: Image.Image, x: int, y: int) -> int:
    """How bright a pixel is; columns and rows below zero count from the other side."""
    return int(picture.convert("L").tobytes()[(y % picture.height) * picture.width + x % picture.width])
