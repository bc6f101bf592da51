"""`oc-trio doctor` on models: what is wrong with an address, a key or a name is told apart."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from oc_trio.config.agents import ModelEntry, Models, Provider
from oc_trio.config.model import Config
from oc_trio.runtime.operator.doctor import pictures
from oc_trio.runtime.operator.findings import Level
from oc_trio.runtime.operator.model_check import ids_of, is_listed
from tests.cli.sandbox_server import Server, a_server

KEY = "sk-very-secret-key"
MODELS = json.dumps({"object": "list", "data": [{"id": "qwen3"}, {"id": "gemma3:latest"}]})


class ModelHost(ThreadingHTTPServer):
    """Answers by path: status, content type, body; a list of answers is played in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    @property
    def host(self) -> ModelHost:
        assert isinstance(self.server, ModelHost)
        return self.server

    def do_GET(self) -> None:
        self.host.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        found = self.host.routes.get(self.path, (404, "text/plain", "page not found"))
        status, kind, body = found.pop(0) if isinstance(found, list) else found
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.host.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def host() -> Iterator[ModelHost]:
    with ModelHost() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("doctor")
    with a_server(folder) as running:
        running.has_buttons = False
        yield running


def found(server: Server, base_url: str, *options: str, more: str = "", models: str = '["qwen3"]') -> dict[str, Any]:
    """What `doctor` finds, by subject: level and text of each."""
    server.write_config(f'[models.providers.l]\nbaseUrl = "{base_url}"\nmodels = {models}\n{more}')
    result = server.run("doctor", "--json", *options)
    assert KEY not in result.output
    rows: dict[str, Any] = {}
    for row in json.loads(result.stdout):
        text = f"{row['text']}: {row['fix']}" if row["fix"] else row["text"]
        rows.setdefault(row["subject"], []).append((row["level"], text))
    failed = any(level == "failed" for entries in rows.values() for level, _ in entries)
    assert result.exit_code == (1 if failed else 0)
    return rows


def provider(server: Server, base_url: str, *options: str, **more: str) -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = found(server, base_url, *options, **more)["model provider l"]
    return entries


def test_all_is_well(server: Server, host: ModelHost) -> None:
    """The list is asked for with the key."""
    host.routes["/v1/models"] = (200, "application/json", MODELS)
    assert provider(server, f"{host.url}/v1/", more=f'apiKey = "{KEY}"') == [
        ("ok", f"{host.url}/v1 answers, with 2 models")
    ]
    assert host.requests[0][1]["authorization"] == f"Bearer {KEY}"


def test_unknown_models_are_named_with_those_that_exist(server: Server, host: ModelHost) -> None:
    """Listed ones and those that agents use; `:latest` goes without saying."""
    host.routes["/v1/models"] = (200, "application/json", MODELS)
    _, one = provider(server, f"{host.url}/v1", models='["qwen33", "gemma3"]')
    assert one[0] == "failed"
    assert 'there is no model "qwen33"' in one[1]
    assert 'did you mean "qwen3"? There are: gemma3:latest, qwen3' in one[1]
    _, one = provider(server, f"{host.url}/v1", models="[]", more='[agents.defaults]\nmodel = "l/other"\n')
    assert 'there is no model "other"' in one[1]


def test_keys(server: Server, host: ModelHost) -> None:
    """A refused key and a missing one."""
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})
    host.routes["/v1/models"] = (401, "application/json", body)
    ((level, text),) = provider(server, f"{host.url}/v1", more=f'apiKey = "{KEY}"')
    assert level == "failed"
    assert "refuses the key of models.providers.l.apiKey (HTTP 401): Incorrect API key provided: ***" in text
    ((level, text),) = provider(server, f"{host.url}/v1")
    assert (level, "wants a key (HTTP 401): set models.providers.l.apiKey" in text) == ("failed", True)


def test_a_path_that_is_not_there(server: Server, host: ModelHost) -> None:
    """404 is about the address."""
    ((level, text),) = provider(server, f"{host.url}/api/v1")
    assert level == "failed"
    assert f"{host.url}/api/v1/models is not there (HTTP 404): is models.providers.l.baseUrl right?" in text


def test_not_a_model_server(server: Server, host: ModelHost) -> None:
    """A page, or JSON of another kind."""
    for kind, body in (("text/html", "<h1>Hello</h1>"), ("application/json", '{"status": "ok"}')):
        host.routes["/v1/models"] = (200, kind, body)
        ((level, text),) = provider(server, f"{host.url}/v1")
        problem = f"{host.url}/v1 is not a model server: it answers with {kind}"
        assert (level, text) == ("failed", f"{problem}: set models.providers.l.baseUrl to the address of its API")


@pytest.mark.parametrize("answer", [(404, "text/plain", "no"), (200, "text/html", "<h1>Ollama</h1>")])
def test_the_version_is_missing(server: Server, host: ModelHost, answer: tuple[int, str, str]) -> None:
    """What works one step further is named."""
    host.routes = {"/models": answer, "/v1/models": (200, "application/json", MODELS)}
    ((level, text),) = provider(server, host.url)
    assert (level, text) == ("failed", f"models.providers.l.baseUrl lacks /v1: write {host.url}/v1")


def test_a_server_of_one_model_takes_every_name(server: Server, host: ModelHost) -> None:
    """llama.cpp lists a file's name; others that list one model insist on theirs."""
    one: dict[str, str] = {"id": "/models/a.gguf", "owned_by": "llamacpp"}
    host.routes["/v1/models"] = (200, "application/json", json.dumps({"data": [one]}))
    assert provider(server, f"{host.url}/v1") == [("ok", f"{host.url}/v1 answers, with 1 model")]
    one["owned_by"] = "vllm"
    host.routes["/v1/models"] = (200, "application/json", json.dumps({"data": [one]}))
    assert [level for level, _ in provider(server, f"{host.url}/v1")] == ["ok", "failed"]


def test_a_name_that_is_not_listed_and_answers(server: Server, host: ModelHost) -> None:
    """Asked itself, the model has the last word."""
    host.routes["/v1/models"] = (200, "application/json", json.dumps({"data": [{"id": "*"}]}))
    host.routes[CHAT] = sse({"content": "pong"}, "stop")
    rows = found(server, f"{host.url}/v1", "--deep", "--hold", "0")
    assert [level for level, _ in rows["model provider l"]] == ["ok", "warning"]
    assert [level for level, _ in rows["model l/qwen3"]] == ["ok"]


def test_a_key_that_is_refused_in_another_way(server: Server, host: ModelHost) -> None:
    """A LiteLLM proxy without a database: 400 for an unknown key, 500 for none."""
    host.routes["/v1/models"] = (400, "application/json", '{"error": {"message": "No connected db."}}')
    ((_, text),) = provider(server, f"{host.url}/v1", more=f'apiKey = "{KEY}"')
    assert "No connected db. (is models.providers.l.apiKey right?)" in text
    host.routes["/v1/models"] = (500, "text/plain", "Internal Server Error")
    ((_, text),) = provider(server, f"{host.url}/v1")
    assert "Internal Server Error (no key was sent: models.providers.l.apiKey is not set)" in text


def test_tls_where_there_is_none(server: Server, host: ModelHost) -> None:
    """The error of TLS is quoted and explained."""
    ((level, text),) = provider(server, host.url.replace("http:", "https:") + "/v1")
    assert level == "failed"
    assert "WRONG_VERSION_NUMBER" in text
    assert "(does it speak http:// only?)" in text


def test_no_version_is_needed_where_it_works_without(server: Server, host: ModelHost) -> None:
    """DeepSeek's address, for one."""
    host.routes["/models"] = (200, "application/json", MODELS)
    assert provider(server, host.url) == [("ok", f"{host.url} answers, with 2 models")]


def test_too_long_an_address(server: Server, host: ModelHost) -> None:
    """Copied out of a manual, with the path that is added by itself."""
    host.routes["/v1/models"] = (200, "application/json", MODELS)
    (level, text), (rest, _) = provider(server, f"{host.url}/v1/chat/completions")
    assert (level, rest) == ("warning", "ok")
    assert text.endswith(f"baseUrl ends in /chat/completions, which is added by itself: write {host.url}/v1")


def test_azure(server: Server, host: ModelHost) -> None:
    """A deployment has no list; the query and the header are there all the same."""
    more = f'headers = {{ api-key = "{KEY}" }}'
    ((level, _),) = provider(server, f"{host.url}/openai/deployments/d?api-version=2024-10-21", more=more)
    assert level == "warning"
    path, headers = host.requests[0]
    assert path == "/openai/deployments/d/models?api-version=2024-10-21"
    assert headers["api-key"] == KEY


def test_anthropic(server: Server, host: ModelHost) -> None:
    """Its own headers; a name without its date is known."""
    body = json.dumps({"data": [{"type": "model", "id": "claude-x-4-20250101"}]})
    host.routes["/v1/models"] = (200, "application/json", body)
    more = f'api = "anthropic-messages"\napiKey = "{KEY}"'
    rows = provider(server, host.url, models='["claude-x-4", "claude-x-4-latest"]', more=more)
    assert [level for level, _ in rows] == ["ok"]
    assert host.requests[0][1]["x-api-key"] == KEY
    assert "anthropic-version" in host.requests[0][1]


def test_trouble_of_the_server(server: Server, host: ModelHost) -> None:
    """The server's own error text is quoted on one line."""
    host.routes["/v1/models"] = (503, "text/plain", "loading\nthe model")
    more = f'apiKey = "{KEY}"'
    ((level, text),) = provider(server, f"{host.url}/v1", more=more)
    assert level == "failed"
    assert text.startswith(f"{host.url}/v1 answers HTTP 503: loading the model: look into the log of that server")


def sse(delta: dict[str, Any], finish: str) -> tuple[int, str, str]:
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return 200, "text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"


CALL = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "ping", "arguments": "{}"}}]}
CHAT = "/v1/chat/completions"


def deep(server: Server, host: ModelHost, *answers: tuple[int, str, str], models: str = '["qwen3"]') -> tuple[str, str]:
    host.routes = {"/v1/models": (200, "application/json", MODELS), CHAT: list(answers)}
    ((level, text),) = found(server, f"{host.url}/v1", "--deep", "--hold", "0", models=models)["model l/qwen3"]
    return level, text


def test_one_word_of_each_model(server: Server, host: ModelHost) -> None:
    """With a tool, since tools are on."""
    answers = sse(CALL, "tool_calls"), sse({"content": "pong"}, "stop")
    assert deep(server, host, *answers) == ("ok", "answers, and calls tools")
    assert host.bodies[0]["tools"][0]["function"]["name"] == "ping"


def test_a_model_that_takes_no_tools(server: Server, host: ModelHost) -> None:
    """It answers; the key that says so is named, and with it nothing is wrong."""
    refusal = (400, "application/json", json.dumps({"error": "qwen3 does not support tools"}))
    level, text = deep(server, host, refusal, sse({"content": "pong"}, "stop"))
    assert level == "warning"
    assert text.endswith('takes no tools: write tools = false beside id = "qwen3" in models.providers.l.models')
    models = '[{ id = "qwen3", tools = false }]'
    assert deep(server, host, sse({"content": "pong"}, "stop"), models=models) == ("ok", "answers")
    assert "tools" not in host.bodies[-1]


def test_a_model_that_does_not_answer(server: Server, host: ModelHost) -> None:
    """The server's reason, once."""
    level, text = deep(server, host, (500, "application/json", '{"error": {"message": "out of memory"}}'))
    assert (level, "HTTP 500: out of memory" in text) == ("failed", True)
    assert len(host.bodies) == 1


def test_without_deep_no_model_is_asked(server: Server, host: ModelHost) -> None:
    """Asking costs money."""
    host.routes["/v1/models"] = (200, "application/json", MODELS)
    assert "model l/qwen3" not in found(server, f"{host.url}/v1")
    assert not host.bodies


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"data": [{"id": "a"}, null, {"x": 1}]}', ("a",)),
        (b'{"models": [{"name": "a"}]}', ("a",)),
        (b'[{"id": "a"}]', ("a",)),
        (b'{"data": []}', ()),
        (b'{"data": {}}', None),
        (b"nothing", None),
        (b"\xff", None),
        (b"[" * 10_000, None),
    ],
)
def test_lists_of_models(body: bytes, ids: tuple[str, ...] | None) -> None:
    """Each in its own form, and what is none."""
    assert ids_of(body) == ids


@pytest.mark.parametrize(
    ("model", "ids", "listed"),
    [
        ("gemini-2", ["models/gemini-2"], True),
        ("a/b:nitro", ["a/b"], True),
        ("qwen3:70b", ["qwen3"], False),
        ("qwen3", ["qwen3:70b"], False),
        ("claude-x", ["claude-x-20250101"], True),
        ("claude-x", ["claude-x-mini"], False),
    ],
)
def test_names_in_lists(model: str, ids: list[str], listed: bool) -> None:
    """The ways in which a name and a list differ, and those in which they don't."""
    assert is_listed(model, ids) is listed


@pytest.mark.parametrize(
    ("images", "pillow", "expected"),
    [
        (False, "", []),
        (True, "12.0", [(Level.OK, "are made fit for local/eyes by Pillow 12.0")]),
        (True, "", [(Level.WARNING, "reach local/eyes as they were posted")]),
    ],
    ids=["no model takes any", "installed", "missing"],
)
def test_whether_pictures_can_be_made_fit(images: bool, pillow: str, expected: list[tuple[Level, str]]) -> None:
    """Where a model takes pictures, the extra that is missing is named."""
    config = Config(models=Models(providers={"local": Provider(models=(ModelEntry(id="eyes", images=images),))}))
    found = pictures(config, pillow)
    assert [(one.level, one.text[: len(words)]) for one, (_, words) in zip(found, expected, strict=True)] == expected
    assert ("pip install 'oc-trio[images]'" in "".join(one.fix for one in found)) is (images and not pillow)
