"""Types by content, for whatever bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.mattermost.sniff import BINARY, TEXT, sniff


@pytest.mark.parametrize(
    ("content", "mime"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\n...", "image/png", id="png"),
        pytest.param(b"\xff\xd8\xff\xe0", "image/jpeg", id="jpeg"),
        pytest.param(b"GIF89a", "image/gif", id="gif"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", id="webp"),
        pytest.param(b"RIFX\0\0\0\0WEBPVP8 ", BINARY, id="not quite webp"),
        pytest.param(b"RIFF\0\0\0\0WAVEfmt ", "audio/wav", id="wav"),
        pytest.param(b"\0\0\0\x18ftypmp42", "video/mp4", id="mp4"),
        pytest.param(b"%PDF-1.7", "application/pdf", id="pdf"),
        pytest.param(b"PK\x03\x04", "application/zip", id="zip"),
        pytest.param("grüße\n".encode(), TEXT, id="utf-8"),
        pytest.param(b"", TEXT, id="empty"),
        pytest.param(b"a\0b", BINARY, id="nul"),
        pytest.param(b"\xe4\xf6\xfc", BINARY, id="latin-1"),
        pytest.param("ä".encode() * 5000, TEXT, id="cut in the middle of a character"),
        pytest.param(b"x" + "ä".encode() * 5000, TEXT, id="cut after a character"),
    ],
)
def test_sniff(content: bytes, mime: str) -> None:
    """Magic first, then text, then octets."""
    assert sniff(content) == mime


@given(st.binary(max_size=64))
def test_any_bytes_have_a_type(content: bytes) -> None:
    """Nothing crashes the look at a file."""
    assert "/" in sniff(content)


@pytest.mark.parametrize(
    ("content", "mime"),
    [
        pytest.param(b"BMW is late again\n", TEXT, id="BM"),
        pytest.param(b"MZ, please look", TEXT, id="MZ"),
        pytest.param(b"ID3 tags are missing", TEXT, id="ID3"),
        pytest.param(b"BZh", TEXT, id="BZh"),
        pytest.param(b"BM\x9a\0\0\0\0\0\0\0\x36\0\0\0", "image/bmp", id="bmp"),
        pytest.param(b"ID3\4\0\0\0\0\0\0", "audio/mpeg", id="mp3"),
        pytest.param(b"\0\0\1\0\1\0\x10\x10", "image/x-icon", id="ico"),
        pytest.param(b"\0\0\0\x18ftypheix", "image/heic", id="heic of 10 bits"),
        pytest.param(b"MM\0*\0\0\0\x08", "image/tiff", id="tiff"),
    ],
)
def test_a_text_may_begin_with_the_letters_of_a_kind(content: bytes, mime: str) -> None:
    """What they stand for holds control characters."""
    assert sniff(content) == mime
