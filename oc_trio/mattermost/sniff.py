"""Detects a file's MIME type by its first bytes (magic numbers); its name and headers prove nothing."""

# The first that fits counts, so a brand of `ftyp` comes before `ftyp` alone.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypavis", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypheix", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"II+\x00", "image/tiff"),
    (0, b"MM\x00+", "image/tiff"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (0, b"BM", "image/bmp"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
)
_RIFF = {"image/webp", "audio/wav", "video/x-msvideo"}
# So short that a text may begin with them; a file of these types has control characters in its first bytes.
_WEAK_MAGIC = {b"BM", b"MZ", b"BZh", b"ID3"}
_HEAD_BYTES = 4096

BINARY = "application/octet-stream"
TEXT = "text/plain"


def sniff(content: bytes) -> str:
    """The MIME type by magic bytes, `text/plain` for UTF-8 without control characters, else octets."""
    for offset, magic, mime in _MAGIC:
        if content.startswith(magic, offset) and (mime not in _RIFF or content.startswith(b"RIFF")):
            return TEXT if magic in _WEAK_MAGIC and _is_text(content[:_HEAD_BYTES]) else mime
    return TEXT if _is_text(content[:_HEAD_BYTES]) else BINARY


def _is_text(head: bytes) -> bool:
    # Escape is allowed: logs of terminals have colours.
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        # A character may be cut in two where the head ends.
        return len(head) == _HEAD_BYTES and exc.start >= len(head) - 3
    return True
