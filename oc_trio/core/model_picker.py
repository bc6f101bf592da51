"""The model picker: choosing a model by buttons, first the provider, then its models in pages of eight.

The state is in each button's signed context, so nothing is stored between clicks and a picker works after a restart.
Only the user who opened a picker may use it. `runtime.handlers.model_picker` posts, signs and switches the model.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.presentation import Rows
from oc_trio.core.slash import PREFIX
from oc_trio.core.turn_events import Button

# OpenClaw's; a model has a row of its own, so that a page still fits on a phone's screen.
PAGE_SIZE = 8
MARK = "oc_model_picker"
NOT_YOURS = "Only the person who opened this picker can use it."
GONE = "That model is no longer available."
NO_MODELS = "No models available."

_ID_PREFIXES = {"providers": "mdlprov", "list": "mdllist", "select": "mdlsel", "back": "mdlback"}


@frozen
class Model:
    """A model as `provider/name`; the name may contain slashes."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


def parse_model(text: str) -> Model | None:
    """The model in `provider/name`, or None."""
    provider, slash, name = text.strip().partition("/")
    return Model(provider, name) if slash and provider and name else None


@frozen
class View:
    """A page of the picker: `contexts` holds each button's state by `Button.id`, for `buttons.attachments(custom=)`."""

    text: str
    rows: Rows = ()
    contexts: Mapping[str, Mapping[str, Any]] = field(factory=dict, hash=False)


@frozen
class Chosen:
    """The user chose a model that is still allowed; `page` is the page of the list to show again."""

    model: Model
    page: int


@frozen
class Denied:
    """The click has no effect; `text` is shown only to the user who clicked."""

    text: str


@frozen
class Picker:
    """The choices for one user: the allowed models in order, and the one in use."""

    models: tuple[Model, ...]
    current: Model | None
    owner: str
    prefix: str = PREFIX  # of slash commands

    def summary(self, *, default: Model | None = None) -> View:
        """The reply to `/oc_model` without arguments."""
        if not self.models:
            return View(NO_MODELS)
        in_use = self.current or default
        named = str(in_use) if in_use else "unknown"
        note = " (default)" if self.current is None or self.current == default else ""
        text = f"Current: {named}{note}\n\nBrowse below, or use `/{self.prefix}model <provider/model>` to switch."
        return self._view(text, [(("Browse providers", "primary", {"action": "providers"}),)])

    def providers(self) -> View:
        """The reply to `/oc_models`: one row per provider with the number of its models."""
        if not self.models:
            return View(NO_MODELS)
        names = dict.fromkeys(model.provider for model in self.models)
        rows = []
        for name in names:
            count = sum(model.provider == name for model in self.models)
            current = self.current is not None and self.current.provider == name
            style = "primary" if current else "default"
            rows.append(((f"{name} ({count})", style, {"action": "list", "provider": name, "page": 1}),))
        return self._view("Select a provider:", rows)

    def page(self, provider: str, number: int) -> View:
        """A page of a provider's models; `number` counts from 1 and is clamped to the pages there are."""
        models = [model for model in self.models if model.provider == provider]
        back = (("Back to providers", "default", {"action": "back"}),)
        if not models:
            return self._view(f"Unknown provider: {provider}", [back])
        pages = -(-len(models) // PAGE_SIZE)
        number = min(max(number, 1), pages)
        first = (number - 1) * PAGE_SIZE
        rows: list[Sequence[_Spec]] = [
            (self._model_button(model, number),) for model in models[first : first + PAGE_SIZE]
        ]
        turns = [("Prev", number - 1)] * (number > 1) + [("Next", number + 1)] * (number < pages)
        if turns:
            state: dict[str, Any] = {"action": "list", "provider": provider}
            rows.append([(name, "default", {**state, "page": to}) for name, to in turns])
        at = f", page {number}/{pages}" if pages > 1 else ""
        return self._view(f"Models ({provider}): {len(models)} available{at}", [*rows, back])

    def click(self, context: Mapping[str, Any], user_id: str) -> View | Chosen | Denied:
        """The result of a click on one of these buttons; `context` is the signed context."""
        # The context says whose picker it is, `owner` for whom these models are allowed.
        if context.get("ownerUserId") != user_id or user_id != self.owner:
            return Denied(NOT_YOURS)
        provider, page = context.get("provider"), context.get("page")
        # Signed, and perhaps by another release.
        number = page if isinstance(page, int) and not isinstance(page, bool) else 1
        match context.get("action"):
            case "list" if isinstance(provider, str):
                return self.page(provider, number)
            case "select" if isinstance(provider, str) and isinstance(context.get("model"), str):
                model = Model(provider, context["model"])
                return Chosen(model, number) if model in self.models else Denied(GONE)
            case _:
                return self.providers()

    def _model_button(self, model: Model, page: int) -> "_Spec":
        current = model == self.current
        state = {"action": "select", "provider": model.provider, "model": model.name, "page": page}
        return (f"{model.name}{' [current]' if current else ''}", "primary" if current else "default", state)

    def _view(self, text: str, rows: Sequence[Sequence["_Spec"]]) -> View:
        contexts: dict[str, Mapping[str, Any]] = {}
        button_rows = []
        for row in rows:
            buttons = []
            for label, style, state in row:
                context = {MARK: True, "ownerUserId": self.owner, **state}
                id_ = _button_id(context)
                contexts[id_] = context
                buttons.append(Button(label, style=style, id=id_))
            button_rows.append(tuple(buttons))
        return View(text, tuple(button_rows), contexts)


_Spec = tuple[str, str, dict[str, Any]]


def _button_id(context: Mapping[str, Any]) -> str:
    # Ids are made as OpenClaw makes them: prefix and twelve digits.
    digest = hashlib.sha256(json.dumps(context, sort_keys=True).encode()).hexdigest()
    return _ID_PREFIXES[context["action"]] + digest[:12]


def is_picker(context: Mapping[str, Any]) -> bool:
    """Whether a signed context belongs to a picker."""
    return context.get(MARK) is True
