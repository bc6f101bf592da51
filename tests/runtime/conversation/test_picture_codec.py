"""What becomes of each kind of picture on its way to a model, and that garbage becomes one error.

Mutations of pictures are a wire of `tests.wires`.
"""

import pytest
from PIL import Image, TiffImagePlugin

from oc_trio.agent.image_bounds import JPEG, PNG, ImageBounds
from oc_trio.errors import PictureUnusable
from oc_trio.runtime.conversation.picture_codec import fit
from tests.pictures import animation, encoded, exif, gradient, grey, noise, opened, photo, png_bomb

BOUNDS = ImageBounds()
STRICT = ImageBounds(frozenset({PNG, JPEG}), 100_000, 300)
WIDE = gradient(40, 20).convert("L").convert("I")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(photo(), id="jpeg"),
        pytest.param(encoded(gradient(30, 20), "PNG"), id="png"),
        pytest.param(encoded(Image.new("RGBA", (30, 20), (9, 9, 9, 99)), "PNG"), id="png with alpha"),
        pytest.param(encoded(gradient(30, 20), "GIF"), id="gif"),
        pytest.param(encoded(gradient(30, 20), "WEBP"), id="webp"),
    ],
)
def test_what_is_within_bounds_stays_as_it_is(data: bytes) -> None:
    """Byte by byte."""
    made = fit(data, BOUNDS)
    assert made.data is data
    assert made.note == ""


@pytest.mark.parametrize("form", ["BMP", "TIFF", "ICO", "AVIF", "GIF", "WEBP"])
def test_other_kinds_are_recoded(form: str) -> None:
    """As a PNG where they are drawn, else as a JPEG; what they show stays."""
    made = fit(encoded(gradient(64, 32), form), STRICT)
    picture = opened(made.data)
    assert made.mime == (JPEG if form in {"TIFF", "AVIF", "WEBP"} else PNG)
    assert picture.size[0] == 2 * picture.size[1]
    assert grey(picture, 1, 9) < 40
    assert grey(picture, -2, 9) > 215


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(600, 400, (300, 200)), (400, 600, (200, 300)), (3000, 2, (300, 1)), (301, 301, (300, 300))],
)
def test_it_is_scaled_down(width: int, height: int, expected: tuple[int, int]) -> None:
    """To the longest side that is of use, in proportion; the model is told of it."""
    made = fit(encoded(gradient(width, height), "JPEG"), STRICT)
    assert opened(made.data).size == expected
    assert made.note == f"scaled down from {width}x{height} pixels"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_it_is_made_to_fit_the_bytes(mode: str) -> None:
    """A picture that is too large loses quality first, then size."""
    data = encoded(noise(300, 300).convert(mode), "PNG")
    for most in (60_000, 40_000, 15_000):
        made = fit(data, ImageBounds(most_bytes=most))
        assert (made.mime, len(made.data) <= most) == (JPEG, True)
        assert opened(made.data).size[0] >= 128
    with pytest.raises(PictureUnusable, match="small enough"):
        fit(data, ImageBounds(most_bytes=300))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_it_is_upright(orientation: int, form: str) -> None:
    """What EXIF says is done, since models don't read it."""
    made = fit(encoded(gradient(40, 20), form, exif=exif(orientation)), BOUNDS)
    picture = opened(made.data).convert("L")
    assert picture.size == ((40, 20) if orientation < 5 else (20, 40))
    assert (grey(picture, 1, 1) < 128) is (orientation in {1, 4, 5, 6})
    assert (grey(picture, -2, -2) < 128) is (orientation in {2, 3, 7, 8})
    assert opened(made.data).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(photo(gps=True), id="jpeg"),
        pytest.param(photo(600, 400, gps=True, comment=b"A camera of Alice's"), id="jpeg, scaled"),
        pytest.param(photo(600, 400, xmp=b"<x>A camera of Alice's, exif:GPSLatitude</x>"), id="xmp"),
        pytest.param(encoded(gradient(40, 20), "WEBP", exif=exif(gps={1: "N"})), id="webp"),
        pytest.param(encoded(gradient(40, 20), "PNG", exif=exif(gps={1: "N"})), id="png"),
        pytest.param(encoded(gradient(40, 20), "TIFF", exif=exif(gps={1: "N"})), id="tiff"),
    ],
)
def test_where_it_was_taken_stays_here(data: bytes) -> None:
    """A picture that says so is written anew, with nothing but its pixels."""
    made = fit(data, STRICT)
    assert b"Alice" not in made.data
    assert b"GPS" not in made.data
    assert not dict(opened(made.data).getexif())


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_stands_for_an_animation(form: str) -> None:
    """The model gets the first frame and a note that there were more."""
    made = fit(animation(form), BOUNDS)
    picture = opened(made.data)
    assert getattr(picture, "n_frames", 1) == 1
    bands = picture.convert("RGB").split()
    assert [grey(band, 5, 5) > 128 for band in bands] == [True, False, False]
    assert made.note == "only its first frame"


def test_a_tiff_of_pages() -> None:
    """The first is shown."""
    assert fit(animation("TIFF"), BOUNDS).note == "only its first page"


def _white_on_the_right(data: bytes) -> tuple[str, bool]:
    picture = opened(data)
    return picture.mode, grey(picture, 1, 5) < 40 and grey(picture, -2, 5) > 215


@pytest.mark.parametrize(
    ("picture", "form", "mode"),
    [
        pytest.param(gradient(40, 20).convert("CMYK"), "JPEG", "RGB", id="cmyk jpeg"),
        pytest.param(gradient(40, 20).convert("CMYK"), "TIFF", "RGB", id="cmyk tiff"),
        pytest.param(
            gradient(40, 20).convert("L").convert("I").point(lambda v: v * 257).convert("I;16"),
            "PNG",
            "L",
            id="16-bit png",
        ),
        pytest.param(gradient(40, 20).convert("L").convert("I;16"), "TIFF", "L", id="16-bit tiff, dark"),
        pytest.param(WIDE.point(lambda v: v * 99999), "TIFF", "L", id="32-bit tiff"),
        pytest.param(gradient(40, 20).convert("F"), "TIFF", "L", id="float tiff"),
        pytest.param(gradient(400, 200).convert("1"), "PNG", "L", id="black and white"),
        pytest.param(gradient(400, 200).convert("P"), "PNG", "RGB", id="palette"),
    ],
)
def test_odd_pixels_become_plain_ones(picture: Image.Image, form: str, mode: str) -> None:
    """8 bits of grey or of red, green and blue, with black and white where they were."""
    made = fit(encoded(picture, form), STRICT)
    found, is_right = _white_on_the_right(made.data)
    assert found == mode
    assert is_right or "I;16" in picture.mode  # nothing says that its white is dark


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "palette with many", "grey key", "16 bits"])
def test_what_shows_through_goes_on_to(kind: str) -> None:
    """As a PNG with alpha. A key among 16 bits is not kept."""
    size = (400, 200)
    match kind:
        case "palette":
            data = encoded(gradient(*size).convert("P"), "PNG", transparency=0)
        case "palette with many":
            data = encoded(gradient(*size).convert("P"), "PNG", transparency=bytes(range(256)))
        case "grey key":
            data = encoded(Image.new("L", size, 0), "PNG", transparency=0)
        case "16 bits":
            data = encoded(Image.new("I;16", size, 0), "PNG", transparency=0)
        case mode:
            data = encoded(Image.new(mode, size, (10,) * (len(mode) - 1) + (0,)), "PNG")
    made = fit(data, ImageBounds(edge=300))
    picture = opened(made.data)
    if kind != "16 bits":
        assert (made.mime, picture.mode) == (PNG, "RGBA")
    assert max(picture.size) == 300


def test_alpha_on_white() -> None:
    """Where a PNG would be too large."""
    picture = noise(200, 200).convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 100, 200))
    made = fit(encoded(picture, "PNG"), ImageBounds(most_bytes=30_000))
    assert made.mime == JPEG
    assert grey(opened(made.data), 20, 100) > 240


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_bomb(), id="png"),
        pytest.param(png_bomb(25_000, 1_001), id="just above"),
        pytest.param(animation("WEBP").replace(b"\x1d\0\0\x13\0\0ANIM", b"\xff\x3f\0\xff\x3f\0ANIM"), id="webp"),
        pytest.param(
            encoded(Image.new("1", (16, 16)), "GIF").replace(b"\x10\x00\x10\x00", b"\xff\xff\xff\xff"), id="gif"
        ),
        pytest.param(
            b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0" + b"\0\0\1\0" * 2 + b"\1\0\x18\0" + bytes(24), id="bmp"
        ),
        pytest.param(
            b"\0\0\1\0\1\0\0\0\0\0\1\0\x20\0" + len(png_bomb()).to_bytes(4, "little") + b"\x16\0\0\0" + png_bomb(),
            id="ico around a png",
        ),
    ],
)
def test_a_bomb_is_not_decoded(data: bytes) -> None:
    """A decompression bomb is refused by its header alone."""
    with pytest.raises(PictureUnusable, match="too many pixels"):
        fit(data, BOUNDS)


def test_a_jpeg_of_many_scans_is_not_decoded() -> None:
    """Each is a pass over all pixels for 78 bytes."""
    data = encoded(Image.new("L", (800, 600), 128), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    assert fit(data[:-2] + last * 20 + data[-2:], BOUNDS).mime == JPEG
    with pytest.raises(PictureUnusable, match="too many scans"):
        fit(data[:-2] + last * 100 + data[-2:], BOUNDS)
    assert fit(data + last * 100, BOUNDS).mime == JPEG  # what a phone appends is no part of it


def test_a_tiff_of_many_fields_is_not_decoded() -> None:
    """Each is a line on standard error."""
    fields = TiffImagePlugin.ImageFileDirectory_v2()
    for number in range(300):
        fields[40_000 + number] = "x"
    with pytest.raises(PictureUnusable, match="too many fields"):
        fit(encoded(gradient(20, 20), "TIFF", compression="tiff_lzw", tiffinfo=fields), BOUNDS)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(40), id="zeros"),
        pytest.param(photo(400, 300)[:2000], id="truncated jpeg"),
        pytest.param(encoded(noise(90, 90), "PNG")[:-500], id="truncated png"),
        pytest.param(encoded(noise(90, 90), "WEBP")[:-500], id="truncated webp"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="a kind that is not opened"),
        pytest.param(encoded(gradient(9, 9), "PPM"), id="another"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(99), id="heic"),
    ],
)
def test_garbage_is_one_error(data: bytes) -> None:
    """Everything that is no picture raises the same error, with a sentence."""
    with pytest.raises(PictureUnusable, match=r"it is damaged|can't be read as a picture"):
        fit(data, BOUNDS)
