"""`oc-trio doctor` on models: whether each address is a model server, accepts the key, and lists the models.

With `deep`, each configured model is asked one question, with a tool where tools are on. What servers say is bounded
and without keys.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, assert_never
from urllib.parse import urlsplit

import httpx
import trio
from attrs import evolve, field

from oc_trio.agent.address import below, printable_url, secrets_in, with_key
from oc_trio.agent.anthropic import DEFAULT_URL, VERSION, messages_url
from oc_trio.agent.build import build_agent
from oc_trio.agent.failures import Endpoint, error_text
from oc_trio.agent.http_client import open_model_client
from oc_trio.agent.port import Message, NoTools, Role, Toolbox, ToolCall, ToolResult, ToolSpec, TurnRequest
from oc_trio.agent.retrying import RetrySettings
from oc_trio.classes import frozen
from oc_trio.config.agents import Provider
from oc_trio.config.model import Config
from oc_trio.config.parse import join, nearest
from oc_trio.core.describe_error import describe_error
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.core.model_apis import ModelApi, built_in_api
from oc_trio.core.turn_events import Failed, Final
from oc_trio.errors import AgentError, ConfigError
from oc_trio.ids import AgentId, SessionKey
from oc_trio.network.tls import client_tls
from oc_trio.runtime.agents import model_spec
from oc_trio.runtime.operator.findings import Finding, Level

# A list takes a model server milliseconds; an answer may wait until the model is loaded.
_SECONDS = 10.0
_DEEP_SECONDS = 120.0
# Bytes: more than any list of models has, so that no server fills the memory.
_LONGEST_LIST = 16 * 1_048_576
# OpenRouter, for one, lists hundreds of models.
_MAX_NAMED = 12
_CHAT = "/chat/completions"
_LOOK = "look into the log of its server, and try another model"


async def examine_provider(config: Config, name: str, *, deep: bool = False) -> list[Finding]:
    """The findings about one provider and, with `deep`, about each of its models."""
    provider, models = config.models.providers[name], wanted_models(config, name)
    findings: list[Finding] = []
    # Before the system's certificates are loaded.
    if not _lists_models(provider.api) and not deep:
        return findings
    context = await trio.to_thread.run_sync(client_tls)
    async with open_model_client(context) as http:
        if _lists_models(provider.api):
            findings += await _ModelList(http, name, provider, models, deep).examine()
        if deep:
            findings += [await _ask(config, http, name, model) for model in models]
    return findings


async def listed_models(
    http: httpx.AsyncClient, name: str, provider: Provider
) -> tuple[tuple[str, ...], Finding | None]:
    """The ids that a provider's server lists, and the finding about what keeps it from listing them."""
    if not _lists_models(provider.api):
        return (), None
    asked = _ModelList(http, name, provider, (), deep=False)
    with suppress(httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError):
        answer = await asked.get_list()
        if answer.ids:
            return answer.ids, None
    failed = [finding for finding in await asked.examine() if finding.level is Level.FAILED]
    return (), failed[0] if failed else None


def wanted_models(config: Config, provider: str) -> tuple[str, ...]:
    """The ids of a provider's models that are listed or that an agent uses."""
    choices = [config.agents.defaults.model, *(agent.model for agent in config.agents.entries.values() if agent.model)]
    names = [name for choice in choices for name in (choice.primary, *choice.fallbacks)]
    ids = [model.id for model in config.models.providers[provider].models]
    ids += [model for owner, _, model in (name.partition("/") for name in names) if owner == provider]
    return tuple(dict.fromkeys(model_id for model_id in ids if model_id))


def _lists_models(api: str) -> bool:
    """Whether a server of this API answers to `GET /models`."""
    match built_in_api(api):
        case ModelApi.OPENAI | ModelApi.ANTHROPIC:
            return True
        case ModelApi.COMMAND | ModelApi.SCRIPTED | None:
            return False
        case never:
            assert_never(never)


@frozen
class _Answer:
    """A server's answer to `GET /models`; `ids` is None where it was no list; `any_name`: it has one for all names."""

    status: int
    content_type: str
    words: str
    ids: tuple[str, ...] | None
    any_name: bool


@frozen
class _ModelList:
    """One provider's address, and what it says of its models."""

    http: httpx.AsyncClient
    name: str
    provider: Provider
    wanted: Sequence[str]
    deep: bool

    @property
    def base(self) -> str:
        """The address before `/models`."""
        base = self.provider.base_url or DEFAULT_URL
        match built_in_api(self.provider.api):
            case ModelApi.ANTHROPIC:
                base = messages_url(base)
            case ModelApi.OPENAI | ModelApi.COMMAND | ModelApi.SCRIPTED | None:
                pass
            case never:
                assert_never(never)
        parts = urlsplit(base.strip())
        # The agents take the address with or without the last part, so the list's has to be found from both.
        path = parts.path.rstrip("/").removesuffix(_CHAT).removesuffix("/messages")
        return parts._replace(path=path).geturl()

    @property
    def path(self) -> str:
        return join("models.providers", self.name)

    def finding(self, level: Level, text: str, code: str, fix: str = "") -> Finding:
        return Finding(level, f"model provider {self.name}", text, code, fix)

    async def examine(self) -> list[Finding]:
        findings = []
        if urlsplit(self.provider.base_url.strip()).path.rstrip("/").endswith(_CHAT):
            text, fix = f"{self.path}.baseUrl ends in {_CHAT}, which is added by itself", printable_url(self.base)
            findings.append(self.finding(Level.WARNING, text, "model.address", f"write {fix}"))
        try:
            answer = await self._get(self.base)
            # A refusal of the key shows that the address is right.
            # A frequent slip: the base URL without its version.
            if answer.ids is None and answer.status not in (401, 403) and self._lacks_version:
                with_version = below(self.base, "/v1")
                other = await self._get(with_version)
                if other.ids is not None or other.status in (401, 403):
                    text, fix = f"{self.path}.baseUrl lacks /v1", f"write {printable_url(with_version)}"
                    return [*findings, self.finding(Level.FAILED, text, "model.no_model_server", fix)]
        except httpx.HTTPError as problem:
            why = self._clean(describe_error(problem))
            hint = " (does it speak http:// only?)" if "WRONG_VERSION_NUMBER" in why else ""
            text = f"{printable_url(self.base)} can't be reached: {why}{hint}"
            fix = f"start it, or correct {self.path}.baseUrl: `curl {printable_url(below(self.base, '/models'))}`"
            return [*findings, self.finding(Level.FAILED, text, "model.unreachable", fix)]
        except (httpx.InvalidURL, trio.TooSlowError) as problem:
            late = isinstance(problem, trio.TooSlowError)
            text = f"does not answer within {_SECONDS:g} s" if late else "is not an address"
            fix = f"start it, or correct {self.path}.baseUrl"
            return [
                *findings,
                self.finding(Level.FAILED, f"{printable_url(self.base)} {text}", "model.unreachable", fix),
            ]
        return [*findings, *self._findings_of(answer)]

    @property
    def _lacks_version(self) -> bool:
        match built_in_api(self.provider.api):
            case ModelApi.OPENAI:
                return "/v1" not in urlsplit(self.base).path
            case ModelApi.ANTHROPIC | ModelApi.COMMAND | ModelApi.SCRIPTED | None:
                return False  # `messages_url` adds the version of Anthropic's addresses
            case never:
                assert_never(never)

    async def get_list(self) -> _Answer:
        """What the server answers. Raises httpx's errors and TooSlowError."""
        return await self._get(self.base)

    def _headers(self) -> dict[str, str]:
        """The operator's headers, and the key in the form of the API."""
        headers = {name: value.reveal() for name, value in self.provider.headers.items()}
        key = self.provider.api_key.reveal()
        match built_in_api(self.provider.api):
            case ModelApi.ANTHROPIC:
                # Anthropic refuses requests without it, the list's, too.
                headers = with_key(headers, "anthropic-version", VERSION)
                return with_key(headers, "x-api-key", key) if key else headers
            case ModelApi.OPENAI | ModelApi.COMMAND | ModelApi.SCRIPTED | None:
                return with_key(headers, "Authorization", f"Bearer {key}") if key else headers
            case never:
                assert_never(never)

    async def _get(self, base: str) -> _Answer:
        """Raises httpx's errors and TooSlowError."""
        body = bytearray()
        with trio.fail_after(_SECONDS):
            request = self.http.build_request("GET", below(base, "/models"), headers=self._headers())
            # A redirect could send the key to another host.
            response = await self.http.send(request, stream=True, follow_redirects=False)
            try:
                async for chunk in response.aiter_bytes():
                    if len(body) < _LONGEST_LIST:  # read on: leaving httpx's iterators half-read makes Python warn
                        body += chunk
            finally:
                await response.aclose()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        ids = ids_of(bytes(body)) if response.status_code == 200 else None
        # The words of an error are at its start; a whole HTML page would be searched for them in vain.
        words = self._clean(error_text(bytes(body[:4096])))
        return _Answer(response.status_code, kind, words, ids, bool(ids) and takes_any_name(bytes(body)))

    def _clean(self, text: str) -> str:
        headers = [value.reveal() for value in self.provider.headers.values()]
        secrets = (self.provider.api_key.reveal(), *headers, *secrets_in(self.provider.base_url))
        return Endpoint("", secrets).clean(text, 200)

    def _findings_of(self, answer: _Answer) -> list[Finding]:
        where, status = printable_url(self.base), answer.status
        if status in (401, 403):
            if self.provider.api_key or self.provider.headers:
                text = f"{where} refuses the key of {self.path}.apiKey (HTTP {status}): {answer.words}"
                fix = f"put a valid key into {self.path}.apiKey"
            else:
                text, fix = f"{where} wants a key (HTTP {status})", f"set {self.path}.apiKey"
            return [self.finding(Level.FAILED, text, "model.key", fix)]
        if status in (404, 405, 501):
            # Azure's deployments and a few others have no list, and answer all the same.
            bearable = self.deep or bool(urlsplit(self.base).query)
            missing = "; it lacks /v1, which most servers want" if self._lacks_version else ""
            text = f"{where}/models is not there (HTTP {status}): is {self.path}.baseUrl right{missing}?"
            rest = "" if self.deep else "; some servers have no such list: --deep asks the models themselves"
            level = Level.WARNING if bearable else Level.FAILED
            return [self.finding(level, text, "model.no_list", f"correct {self.path}.baseUrl{rest}")]
        if status != 200:
            text = f"{where} answers HTTP {status}: {answer.words}{self._key_hint(status)}"
            fix = f"look into the log of that server; correct {self.path}"
            return [self.finding(Level.FAILED, text, "model.refuses", fix)]
        if answer.ids is None:
            kind = answer.content_type or "something else"
            text = f"{where} is not a model server: it answers with {kind}"
            fix = f"set {self.path}.baseUrl to the address of its API"
            return [self.finding(Level.FAILED, text, "model.no_model_server", fix)]
        unknown = [model for model in self.wanted if answer.ids and not is_listed(model, answer.ids)]
        count = "1 model" if len(answer.ids) == 1 else f"{len(answer.ids)} models"
        well = self.finding(Level.OK, f"{where} answers, with {count}", "model.ok")
        # A list of one name says nothing about the others then.
        if answer.any_name:
            return [well]
        absent = [f'there is no model "{model}" at {where}: {_instead(model, answer.ids)}' for model in unknown]
        # With `deep` the model itself is asked, and some servers answer to more names than they list.
        level = Level.WARNING if self.deep else Level.FAILED
        fix = f"use one of those in {self.path}.models and agents.*.model, or install the model there"
        return [well, *(self.finding(level, text, "model.missing", fix) for text in absent)]

    def _key_hint(self, status: int) -> str:
        """A proxy without a database of keys says 400 of one that it doesn't know, or fails where there is none."""
        if not self.provider.api_key and not self.provider.headers:
            return f" (no key was sent: {self.path}.apiKey is not set)"
        return f" (is {self.path}.apiKey right?)" if status == 400 else ""


def ids_of(body: bytes) -> tuple[str, ...] | None:
    """The ids in a list of models as OpenAI, Anthropic, Ollama and Together give it; None for anything else."""
    rows = _rows_of(body)
    if rows is None:
        return None
    return tuple(str(row.get("id") or row.get("name")) for row in rows if row.get("id") or row.get("name"))


def takes_any_name(body: bytes) -> bool:
    """Whether it is the list of a llama.cpp with one model: that answers to every name."""
    rows = _rows_of(body) or []
    return len(rows) == 1 and rows[0].get("owned_by") == "llamacpp"


def _rows_of(body: bytes) -> list[dict[str, Any]] | None:
    try:
        value = read_lenient(body)
    except BadJson:
        return None
    if isinstance(value, dict):
        value = value.get("data", value.get("models"))
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else None


def is_listed(model: str, ids: Iterable[str]) -> bool:
    """Whether a model is among those listed, in one of the ways in which lists and names differ.

    Ollama adds `:latest`, Gemini begins with `models/`, OpenRouter takes `:nitro`, Anthropic adds a date.
    """
    # Anthropic lists the dated names only, and takes `-latest` for the newest of them.
    bare = model.removesuffix("-latest")
    # On both sides: Gemini takes the name with and without it.
    known = {listed.removeprefix("models/") for listed in ids}
    return (
        model.removeprefix("models/") in known
        or f"{model}:latest" in known
        or ("/" in model and model.partition(":")[0] in known)
        or any(listed.startswith(f"{bare}-") and listed.removeprefix(f"{bare}-").isdigit() for listed in known)
    )


def _instead(model: str, ids: Sequence[str]) -> str:
    guess = nearest(model, ids)
    names = ", ".join(sorted(ids)[:_MAX_NAMED])
    more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
    return (f'did you mean "{guess}"? ' if guess else "") + f"There are: {names}{more}"


@frozen
class _PingTool:
    """The one tool of the question; `call_ids` are those of its calls."""

    call_ids: list[str] = field(factory=list)
    specs: Sequence[ToolSpec] = (
        ToolSpec("ping", "Gives back one word.", {"type": "object", "properties": {}}, side_effects=False),
    )

    async def call(self, call: ToolCall) -> ToolResult:
        await trio.lowlevel.checkpoint()
        self.call_ids.append(call.id)
        return ToolResult("pong")


async def _ask(config: Config, http: httpx.AsyncClient, provider: str, model: str) -> Finding:
    subject = f"model {provider}/{model}"
    # Once only: an operator wants to see the first failure, and soon.
    spec = evolve(model_spec(config, http, f"{provider}/{model}"), retry=RetrySettings(attempts=1))
    ping = _PingTool()
    tools: Toolbox = ping if spec.tools else NoTools()
    text = "Call the tool ping once, then answer with the word that it gives, and nothing else."
    request = TurnRequest(
        AgentId("doctor"),
        SessionKey("doctor"),
        "You are being tested. Answer in one word.",
        (Message(Role.USER, text if spec.tools else "Answer with the word pong, and nothing else."),),
        tools,
    )
    end: Final | Failed | None = None
    try:
        with trio.fail_after(_DEEP_SECONDS):
            async with build_agent(spec, http).run(request) as events:
                async for event in events:
                    if isinstance(event, Final | Failed):
                        end = event
    except trio.TooSlowError:
        text = f"gives no answer within {_DEEP_SECONDS:g} s"
        return Finding(Level.FAILED, subject, text, "model.silent", _LOOK)
    except (AgentError, ConfigError) as problem:
        return Finding(Level.FAILED, subject, str(problem), "model.failed", _LOOK)
    if not isinstance(end, Final):
        text = end.for_operator if end is not None else "gives no answer"
        return Finding(Level.FAILED, subject, text, "model.failed", _LOOK)
    if spec.tools and not spec.unsupported.takes_tools(model):
        key = f'tools = false beside id = "{model}" in {join("models.providers", provider)}.models'
        return Finding(Level.WARNING, subject, "answers, but takes no tools", "model.no_tools", f"write {key}")
    if not end.text.strip():
        return Finding(Level.WARNING, subject, "answers without a word", "model.silent", _LOOK)
    called = (
        (", and calls tools" if ping.call_ids else ", and did not call the tool it was asked to") if spec.tools else ""
    )
    return Finding(Level.OK, subject, f"answers{called}", "model.ok")
