"""The model APIs that are built in: the one list of their names, for the configuration and for building agents.

Code that treats them differently matches on `ModelApi` and ends in `assert_never`: the type check then finds every
place that does not know a new one yet.
"""

from enum import Enum


class ModelApi(Enum):
    """The values of `api` in `models.providers.<name>`, except for the names of installed agents."""

    OPENAI = "openai-completions"
    ANTHROPIC = "anthropic-messages"
    COMMAND = "command"
    SCRIPTED = "scripted"


BUILT_IN_APIS = tuple(api.value for api in ModelApi)


def built_in_api(name: str) -> ModelApi | None:
    """The built-in API of that name, None for an installed agent's."""
    return ModelApi(name) if name in BUILT_IN_APIS else None
