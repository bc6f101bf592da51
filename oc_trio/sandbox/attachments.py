"""Message attachments in a post's props: adds ids to actions, hides integrations, finds the action that was clicked."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def attachments_of(props: Mapping[str, Any]) -> list[Json]:
    value = props.get("attachments")
    return [a for a in value if isinstance(a, dict)] if isinstance(value, list) else []


def actions_of(props: Mapping[str, Any]) -> Iterator[Json]:
    for attachment in attachments_of(props):
        actions = attachment.get("actions")
        yield from (a for a in actions if isinstance(a, dict)) if isinstance(actions, list) else ()


def complete(props: Mapping[str, Any], new_id: Callable[[], str]) -> Json:
    """A copy of the props in which every action has an id."""
    # A deep copy: the caller's props stay as they were, and later changes to them don't reach the stored post.
    kept = copy.deepcopy(dict(props))
    for action in actions_of(kept):
        if not action.get("id"):
            action["id"] = new_id()
    return kept


def public(props: Mapping[str, Any], cookie: Callable[[Json], str] | None = None) -> Json:
    """The props as clients see them: no action shows its integration; `cookie` replaces it in an ephemeral post."""
    if not attachments_of(props):
        return dict(props)
    hidden = copy.deepcopy(dict(props))
    for action in actions_of(hidden):
        if cookie is not None and "integration" in action:
            action["cookie"] = cookie(action)
        # Recorded: nobody gets the integration, not even the author of the post (contract scenario button_visibility).
        action.pop("integration", None)
    return hidden


def find_action(props: Mapping[str, Any], action_id: str) -> Json | None:
    """The action with that id, if it still has its integration and so can be clicked."""
    # A bot that reads its post and writes it back loses the integrations, and a click is 404 then (contract scenario
    # button_round_trip).
    usable = (a for a in actions_of(props) if a.get("id") == action_id and isinstance(a.get("integration"), dict))
    return next(usable, None)


def texts_of(props: Mapping[str, Any]) -> Iterator[str]:
    """The texts of attachments in which mentions count."""
    for attachment in attachments_of(props):
        for key in ("pretext", "text"):
            if isinstance(attachment.get(key), str):
                yield attachment[key]
