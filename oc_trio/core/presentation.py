"""Parses buttons and menus as agents and scripts write them; a mistake is reported in one sentence.

Two formats: `buttons=[[{"text", "callback_data", "style"}]]` and `presentation={"blocks": [...]}`. What Mattermost
can't show as a button, such as links, becomes text. `core.buttons` makes the attachments.
"""

from collections.abc import Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.turn_events import Button

STYLES = frozenset({"default", "primary", "secondary", "success", "danger"})
# More buttons than a screen holds are a mistake of the agent, which should use menus or pages.
MAX_BUTTONS = 25
# Longer ones are wider than a telephone's screen.
_LABEL_LENGTH = 80

Rows = tuple[tuple[Button, ...], ...]


class BadPresentation(ValueError):
    """The buttons can't be read; str() says which one and what it lacks."""


@frozen
class Menu:
    """A select menu: `options` pairs what is shown with the value that comes back."""

    label: str
    options: tuple[tuple[str, str], ...]
    id: str = ""


@frozen
class Presentation:
    """What a message shows besides its own text: `text`, with links and dividers, is appended to it."""

    text: str = ""
    rows: Rows = ()
    menus: tuple[Menu, ...] = ()

    def joined(self, other: "Presentation") -> "Presentation":
        """Both, one below the other. Raises BadPresentation for more buttons than fit."""
        text = "\n\n".join(part for part in (self.text, other.text) if part)
        rows = self.rows + other.rows
        if sum(map(len, rows)) > MAX_BUTTONS:
            raise BadPresentation(f"Together these are more than {MAX_BUTTONS} buttons, the limit for one message.")
        return Presentation(text, rows, self.menus + other.menus)


def read_buttons(value: Any) -> Presentation:
    """The `buttons` parameter: rows of buttons, or one row. Buttons with a `url` become links in the text."""
    if not isinstance(value, list):
        raise BadPresentation('buttons must be a list of rows, such as [[{"text": "Yes", "callback_data": "yes"}]].')
    # One row may come without the list around it.
    rows = value if any(isinstance(item, list) for item in value) else [value]
    read: list[tuple[Button, ...]] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list):
            raise BadPresentation(f"buttons: row {number} must be a list of buttons.")
        read.append(tuple(_button(item, f"buttons: row {number}, button {at}") for at, item in enumerate(row, 1)))
    return _compose([], tuple(read), ())


def read_presentation(value: Any) -> Presentation:
    """The `presentation` parameter: `title` and `blocks` of type text, context, divider, buttons or select."""
    if not isinstance(value, Mapping) or not isinstance(value.get("blocks", []), list):
        raise BadPresentation('presentation must be an object with a list of blocks: {"blocks": [...]}.')
    texts = [f"**{title}**" for title in [_text(value, "title")] if title]
    rows: list[tuple[Button, ...]] = []
    menus: list[Menu] = []
    for number, block in enumerate(value.get("blocks", []), 1):
        where = f"presentation: block {number}"
        if not isinstance(block, Mapping):
            raise BadPresentation(f"{where} must be an object with a type.")
        match block.get("type"):
            case "text" | "context":
                texts.append(_text(block, "text"))
            case "divider":
                texts.append("---")
            case "buttons":
                items = block.get("buttons")
                if not isinstance(items, list):
                    raise BadPresentation(f"{where} needs a list of buttons.")
                rows.append(tuple(_button(item, f"{where}, button {at}") for at, item in enumerate(items, 1)))
            case "select":
                menus.append(_menu(block, where))
            case other:
                raise BadPresentation(f"{where} has type {other!r}; known are text, context, divider, buttons, select.")
    return _compose(texts, tuple(rows), tuple(menus))


def _compose(texts: list[str], rows: Rows, menus: tuple[Menu, ...]) -> Presentation:
    links = [f"- [{_bracketed(button.label)}]({button.url})" for row in rows for button in row if button.url]
    # Mattermost's buttons can't open an address, so those with a URL are links in the text.
    clickable = tuple(kept for row in rows if (kept := tuple(button for button in row if not button.url)))
    count = sum(map(len, clickable))
    if count > MAX_BUTTONS:
        raise BadPresentation(f"{count} buttons are too many for one message; {MAX_BUTTONS} are the limit.")
    blocks = [text for text in texts if text]
    if links:
        blocks.append("\n".join(links))
    return Presentation("\n\n".join(blocks), clickable, menus)


def _button(item: Any, where: str) -> Button:
    if not isinstance(item, Mapping):
        raise BadPresentation(f"{where} must be an object with text and callback_data.")
    label = _text(item, "text", "label")
    if not label:
        raise BadPresentation(f"{where} needs a text.")
    action = item.get("action")
    # The value may also be in an `action` object.
    source: Mapping[str, Any] = {**item, **action} if isinstance(action, Mapping) else item
    url = _text(source, "url")
    if url and not url.lower().startswith(("https://", "http://")):
        raise BadPresentation(f"{where} has a url that is not http or https.")
    value = _text(source, "callback_data", "callbackData", "value", "command")
    if not url and not value:
        raise BadPresentation(f"{where} needs a callback_data (or a url).")
    style = _text(item, "style").lower()
    # An unknown style is no reason to lose the button.
    return Button(label[:_LABEL_LENGTH], value, url, style if style in STYLES else "default")


def _menu(block: Mapping[str, Any], where: str) -> Menu:
    options = block.get("options")
    if not isinstance(options, list) or not options:
        raise BadPresentation(f"{where} needs a list of options.")
    read = []
    for at, option in enumerate(options, 1):
        if not isinstance(option, Mapping) or not (label := _text(option, "text", "label")):
            raise BadPresentation(f"{where}, option {at} must be an object with text and value.")
        read.append((label, _text(option, "value") or label))
    return Menu(_text(block, "placeholder", "label", "text") or "Choose", tuple(read))


def _text(source: Mapping[str, Any], *names: str) -> str:
    """The first of the fields that has text; numbers count as text, because models send them."""
    for name in names:
        value = source.get(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def _bracketed(label: str) -> str:
    # A bracket would end the text of the link.
    return label.replace("[", "(").replace("]", ")")
