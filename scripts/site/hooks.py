"""MkDocs hooks: the repository's own pages become pages of the site, and links between both are made to fit.

MkDocs calls `on_files` and `on_page_markdown` by their names.
"""

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
# Pages beside docs/: file of the repository -> page of the site.
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the repository's own pages."""
    from mkdocs.structure.files import File

    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: "Page", **_: object) -> str:
    """The page with its links as the site needs them."""
    own = {target: name for name, target in PAGES.items()}
    source = own.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return relinked(markdown, PurePosixPath(source).parent)


def relinked(markdown: str, folder: PurePosixPath) -> str:
    """`folder` is that of the file in the repository. A link to a file that is no page becomes its name alone."""

    def relink(match: re.Match[str]) -> str:
        image, text, link = match.groups()
        path, _, anchor = link.partition("#")
        if not path or "://" in link or link.startswith("mailto:"):
            return match[0]
        target = _normal(folder / path)
        if target in PAGES:
            page = PAGES[target]
        elif target.startswith("docs/"):
            page = target.removeprefix("docs/")
        else:
            return f"{text} (`{target}`)"
        return f"{image}[{text}]({page}{'#' if anchor else ''}{anchor})"

    return _LINK.sub(relink, markdown)


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
