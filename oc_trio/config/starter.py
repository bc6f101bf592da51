"""Writes the first configuration of an installation, with a comment on what an operator is likely to change. Pure."""

from collections.abc import Iterator, Sequence

from oc_trio.classes import frozen
from oc_trio.config.toml_text import toml_string
from oc_trio.core.access import DmPolicy, GroupPolicy

# Where the comments begin: right of nearly every key and value.
_COLUMN = 40


@frozen
class StarterProvider:
    """The `models.providers` entry that a model needs; `models` are named where the address is not the built-in one."""

    name: str
    base_url: str = ""
    models: tuple[str, ...] = ()
    api_key_file: str = ""


@frozen
class Starter:
    """What goes into the file. `people` are ids with names for the comments; `model` is `provider/model`.

    `provider` is None where a built-in one needs no entry; then `key_variables` name the variables of its key.
    """

    base_url: str
    token_file: str
    bot: str
    model: str
    provider: StarterProvider | None = None
    key_variables: tuple[str, ...] = ()
    name: str = ""
    is_private: bool = False
    strangers: DmPolicy = DmPolicy.PAIRING
    channels: GroupPolicy = GroupPolicy.OPEN
    people: Sequence[tuple[str, str]] = ()


_STRANGERS = {
    DmPolicy.PAIRING: "a stranger gets a code, which `oc-trio pairing approve` lets in",
    DmPolicy.ALLOWLIST: "only the people of allowFrom are answered",
    DmPolicy.OPEN: "everybody on the server is answered",
    DmPolicy.DISABLED: "nobody is answered",
}
_CHANNELS = {
    GroupPolicy.OPEN: "whoever mentions the bot is answered; onlyChannels limits it to some channels",
    GroupPolicy.ALLOWLIST: "the people of groupAllowFrom are answered when they mention the bot",
    GroupPolicy.DISABLED: "nobody is answered",
}


def starter_text(starter: Starter) -> str:
    """The file, as TOML."""
    return "\n".join(_lines(starter)) + "\n"


def _lines(starter: Starter) -> Iterator[str]:
    where = _comment_text(f"@{starter.bot} at {starter.base_url}")
    yield f"# oc_trio as {where}, written by `oc-trio init`."
    yield "# After a change: `oc-trio config check`, then `oc-trio reload`. Every key: docs/configuration.md"
    yield ""
    yield "[channels.mattermost]"
    yield _key("baseUrl", starter.base_url)
    yield _key("botTokenFile", starter.token_file, "readable by its owner only; a new token goes there")
    if starter.name:
        yield _key("name", starter.name, "for the log and the status")
    yield _key("replyToMode", "all", 'answer in threads; "off" answers where it was asked')
    yield ""
    yield "# Direct messages: pairing, allowlist, open or disabled."
    yield _key("dmPolicy", starter.strangers.value, _STRANGERS[starter.strangers])
    if starter.strangers is DmPolicy.OPEN:
        yield 'allowFrom = ["*"]'
    elif starter.people:
        yield from _people("allowFrom", starter)
    yield ""
    yield "# Channels that the bot is in (`/invite @bot`): open, allowlist or disabled."
    yield _key("groupPolicy", starter.channels.value, _CHANNELS[starter.channels])
    if starter.channels is GroupPolicy.ALLOWLIST and starter.people:
        yield from _people("groupAllowFrom", starter)
    if starter.is_private:
        yield ""
        yield "[channels.mattermost.network]"
        yield "# The server is at an address of a private network or of this machine."
        yield "dangerouslyAllowPrivateNetwork = true"
    yield from _provider(starter)
    yield ""
    yield "[agents.defaults]"
    yield _key("model", starter.model, "others: `oc-trio models list`")
    yield '# systemPrompt = "You are the helpful bot of a small team."'


def _provider(starter: Starter) -> Iterator[str]:
    provider = starter.provider
    if provider is None:
        if starter.key_variables:
            yield ""
            yield f"# The model's key is read from the environment: {' or '.join(starter.key_variables)}."
        return
    yield ""
    yield f"[models.providers.{provider.name}]"
    if provider.base_url:
        yield _key("baseUrl", provider.base_url)
    if provider.api_key_file:
        yield _key("apiKeyFile", provider.api_key_file, "readable by its owner only")
    if provider.models:
        yield f"models = [{', '.join(map(toml_string, provider.models))}]"


def _people(key: str, starter: Starter) -> Iterator[str]:
    yield f"{key} = ["
    yield from (f"    {toml_string(user_id)},  # @{_comment_text(name)}" for user_id, name in starter.people)
    yield "]"


def _key(name: str, value: str, comment: str = "") -> str:
    line = f"{name} = {toml_string(value)}"
    return f"{line:<{_COLUMN}}  # {comment}" if comment else line


def _comment_text(text: str) -> str:
    """Foreign text in a comment: on one line, whatever it holds."""
    return "".join(character if character.isprintable() else " " for character in text)
