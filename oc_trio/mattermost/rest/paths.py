"""Escapes names of others for use in a request's path (no path traversal)."""

from urllib.parse import quote

from oc_trio.errors import MattermostRejected


def segment(text: str) -> str:
    """`text` as one path segment, escaped. Raises MattermostRejected for what would change the path."""
    bare = text.replace("\t", "").replace("\r", "").replace("\n", "").strip()
    # Percent signs are refused as well: servers and proxies differ in how often they decode a path.
    if bare in ("", ".", "..") or any(char in "/\\%?#" or ord(char) < 32 for char in text):
        raise MattermostRejected(
            f"not a usable name in a request: {text[:60]!r}", status=400, code="oc_trio.unsafe_path"
        )
    return quote(text, safe="+")
