"""Broken configurations, and the words that tell their author what to do."""

from collections.abc import Callable

import pytest

from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError

M = "[channels.mattermost]\n"
B = M + "baseUrl = 'https://chat.example.com'\n"
JOB = '[cron.jobs.j]\ntarget = "#x"\nmessage = "m"\n'

# name, file, the lines that follow "file:line: "
BROKEN: list[tuple[str, str, list[str]]] = [
    ("syntax", "a = \n", ["not valid TOML: Invalid value"]),
    (
        "misspelt key",
        M + "dmPolcy = 'open'",
        ["channels.mattermost.dmPolcy: is not a known key (did you mean dmPolicy?)"],
    ),
    ("wrong case", M + "botTOKEN = 'x'", ["channels.mattermost.botTOKEN: is not a known key (did you mean botToken?)"]),
    ("misspelt section", "[channel.mattermost]", ["channel: is not a known key (did you mean channels?)"]),
    (
        "another channel",
        "[channels.telegram]",
        ["channels.telegram: is not a known key (known here: defaults, mattermost)"],
    ),
    (
        "key in the wrong place",
        M + "mode = 'partial'",
        ["channels.mattermost.mode: is not a known key"],
    ),
    (
        "misspelt choice",
        M + "dmPolicy = 'pairng'",
        [
            (
                'channels.mattermost.dmPolicy: must be one of "pairing", "allowlist", "open", "disabled" '
                '(did you mean "pairing"?)'
            )
        ],
    ),
    ("choice of the wrong type", M + "chatmode = true", ['must be one of "oncall", "onmessage", "onchar", not true']),
    (
        "quoted switch",
        M + "enabled = 'true'",
        ["channels.mattermost.enabled: must be true or false, not text (without quotes)"],
    ),
    (
        "quoted number",
        M + "textChunkLimit = '4000'",
        ["textChunkLimit: must be a whole number, not text (without quotes)"],
    ),
    ("number for text", M + "name = 5", ["channels.mattermost.name: must be text, not a number (in quotes)"]),
    ("fraction", M + "historyLimit = 2.5", ["channels.mattermost.historyLimit: must be a whole number, not a number"]),
    ("switch for number", M + "historyLimit = true", ["historyLimit: must be a whole number, not true"]),
    ("date for text", M + "name = 2026-01-01", ["channels.mattermost.name: must be text, not a date or time"]),
    ("not a number", M + "mediaMaxMb = nan", ["channels.mattermost.mediaMaxMb: must be above 0"]),
    ("too small", M + "historyLimit = -1", ["channels.mattermost.historyLimit: must be between 0 and 1000"]),
    ("too big", M + "dmChannelRetry.maxRetries = 11", ["dmChannelRetry.maxRetries: must be between 0 and 10"]),
    ("zero", M + "textChunkLimit = 0", ["channels.mattermost.textChunkLimit: must be between 1 and 16383"]),
    (
        "text for list",
        M + "allowFrom = 'u1'",
        ["channels.mattermost.allowFrom: must be a list, not text (put it in brackets: [...])"],
    ),
    (
        "bad list entry",
        M + "capabilities = ['a', 5]",
        ["channels.mattermost.capabilities[1]: must be text, not a number (in quotes)"],
    ),
    ("text for table", M + "network = 'private'", ["channels.mattermost.network: must be a table, not text"]),
    (
        "inverted delays",
        M + "dmChannelRetry = { initialDelayMs = 5000, maxDelayMs = 2000 }",
        ["channels.mattermost.dmChannelRetry.initialDelayMs: must not be above maxDelayMs (maxDelayMs is 2000)"],
    ),
    (
        "open without everyone",
        M + "dmPolicy = 'open'",
        [
            (
                'channels.mattermost.dmPolicy: "open" needs "*" in allowFrom (add allowFrom = ["*"], '
                'or use "pairing" or "allowlist")'
            )
        ],
    ),
    (
        "open in an account only",
        B + "[channels.mattermost.accounts.a]\nbotToken = 'a'\ndmPolicy = 'open'",
        ['channels.mattermost.accounts.a.dmPolicy: "open" needs "*" in allowFrom'],
    ),
    (
        "unknown access group",
        M + "allowFrom = ['accessGroup:opz']\n[accessGroups.ops]",
        ['channels.mattermost.allowFrom[0]: there is no access group "opz" (did you mean "ops"?)'],
    ),
    (
        "nobody approves",
        "[agents.defaults.tools]\napprovers = []",
        ['agents.defaults.tools.approvers: is empty, so nobody could approve (write "allowed", "asker" or a list of'],
    ),
    (
        "one person approves, without brackets",
        "[agents.entries.a.tools]\napprovers = 'u1'",
        ["agents.entries.a.tools.approvers: must be a list, not text (put it in brackets: [...])"],
    ),
    (
        "an unknown group approves",
        "[agents.entries.a.tools]\napprovers = ['asker', 'accessGroup:opz']\n[accessGroups.ops]",
        ['agents.entries.a.tools.approvers[1]: there is no access group "opz" (did you mean "ops"?)'],
    ),
    (
        "listed bots without a list",
        M + "allowBots = 'list'",
        ['channels.mattermost.allowBots: "list" needs botAllowFrom'],
    ),
    (
        "base URL without scheme",
        M + "baseUrl = 'chat.example.com'",
        ["channels.mattermost.baseUrl: must begin with http:// or https://"],
    ),
    (
        "password in the base URL",
        M + "baseUrl = 'https://a:b@c'",
        ["channels.mattermost.baseUrl: must not hold a user name or password"],
    ),
    (
        "bad source address",
        M + "interactions.allowedSourceIps = ['proxy']",
        ["allowedSourceIps[0]: must be an IP address or a range such as 10.0.0.0/8"],
    ),
    (
        "bad proxy",
        "gateway.trustedProxies = ['10.0.0.0/40']",
        ["gateway.trustedProxies[0]: must be an IP address or a range"],
    ),
    ("custom bind without host", "gateway.bind = 'custom'", ['gateway.bind: "custom" needs customBindHost']),
    ("half of TLS", "gateway.tls.certFile = 'c.pem'", ["gateway.tls: needs both certFile and keyFile"]),
    ("drain too long", "gateway.drainSeconds = 7200", ["gateway.drainSeconds: must be between 0 and 3600"]),
    (
        "same port",
        "gateway = { port = 9000, admin = { port = 9000 } }",
        ["gateway.admin.port: must differ from gateway.port"],
    ),
    ("database of another kind", "store.url = 'mysql://x'", ["store.url: must begin with postgresql://"]),
    (
        "binding to nobody",
        "bindings = [{ agentId = 'agnt2' }]\n[agents.entries.agent2]",
        ['bindings[0].agentId: there is no agent "agnt2" (did you mean "agent2"?)'],
    ),
    (
        "binding for an unknown account",
        "[[bindings]]\nagentId = 'main'\nmatch.accountId = 'alerts'",
        ['bindings[0].match.accountId: there is no account "alerts" (there are: default)'],
    ),
    (
        "same binding twice",
        "[[bindings]]\nagentId = 'main'\n[[bindings]]\nagentId = 'main'",
        ["bindings[1].match: matches the same as bindings[0] (remove one of them)"],
    ),
    (
        "two default agents",
        "[agents.entries]\na.default = true\nb.default = true",
        ["agents.entries: only one agent can be the default (marked: a, b)"],
    ),
    (
        "unknown provider",
        "agents.defaults.model = 'locl/q'\n[models.providers.local]\nbaseUrl = 'http://x'",
        ['agents.defaults.model.primary: there is no model provider "locl" (did you mean "local"?'],
    ),
    (
        "model without provider",
        "agents.defaults.model = 'gpt'",
        ["agents.defaults.model.primary: must be written provider/model"],
    ),
    (
        "unknown model",
        (
            "agents.defaults.model = { primary = 'l/a', fallbacks = ['l/c'] }\n"
            "[models.providers.l]\nbaseUrl = 'http://x'\nmodels = ['a', 'b']"
        ),
        ['agents.defaults.model.fallbacks[0]: there is no model of l "c" (there are: a, b)'],
    ),
    ("provider without address", "[models.providers.l]", ["models.providers.l.baseUrl: is missing"]),
    (
        "unknown API",
        "[models.providers.l]\napi = 'openai-completion'",
        ['there is no model API "openai-completion" (did you mean "openai-completions"?)'],
    ),
    ("command without command", "[models.providers.l]\napi = 'command'", ["models.providers.l.command: is missing"]),
    (
        "bad pattern",
        "messages.groupChat.mentionPatterns = ['(']",
        ["messages.groupChat.mentionPatterns[0]: is not a regular expression"],
    ),
    ("hooks without token", "hooks.enabled = true", ["hooks.token: is missing"]),
    (
        "tool server without anything",
        "[mcp.servers.files]",
        ["mcp.servers.files: needs either command or url (and not both)"],
    ),
    (
        "tool servers of one name for models",
        """
        [mcp.servers]
        "my.files" = { command = "f" }
        my_files = { command = "g" }
        "my files" = { command = "h", enabled = false }
        """,
        ["mcp.servers.my_files: is my_files for models, and so is my.files (rename one of them)"],
    ),
    ("cron with four fields", JOB + "expression = '0 9 * *'", ["cron.jobs.j.expression: must have five fields, not 4"]),
    ("cron out of range", JOB + "expression = '0 25 * * *'", ['cron.jobs.j.expression: "25" is not a hour (0-23)']),
    (
        "unknown time zone",
        JOB + "expression = '@daily'\ntimezone = 'Berlin'",
        ["cron.jobs.j.timezone: is not a known time zone"],
    ),
    (
        "message and prompt",
        JOB + "expression = '@daily'\nprompt = 'p'",
        ["cron.jobs.j: needs either message or prompt (and not both)"],
    ),
    (
        "unknown default account",
        M + "defaultAccount = 'main'",
        ['channels.mattermost.defaultAccount: there is no account "main"'],
    ),
    (
        "unknown account for this process",
        B + "botToken = 't'\naccounts.alerts.botToken = 'a'\n[gateway]\naccounts = ['Alerts', 'alert']",
        ['gateway.accounts[1]: there is no account "alert" (did you mean "alerts"?)'],
    ),
    (
        "same bot twice",
        B + "botToken = 't'\n[channels.mattermost.accounts.again]\nname = 'x'",
        ['has the same server and token as account "again"; every message would be answered twice'],
    ),
    (
        "same id twice",
        B + "[channels.mattermost.accounts]\nAlerts = { botToken = 'a' }\nalerts = { botToken = 'b' }",
        ['channels.mattermost.accounts.alerts: has the same id as channels.mattermost.accounts.Alerts: "alerts"'],
    ),
    (
        "account without token",
        B + "accounts.a.name = 'A'",
        ["accounts.a.botToken: is missing (set it, or botTokenFile; MATTERMOST_BOT_TOKEN is for the default account "],
    ),
    (
        "secret of a wrong kind",
        M + "botToken = 5",
        ["channels.mattermost.botToken: must be text or a table, not a number"],
    ),
    (
        "a variable in the form of another file",
        B + "botToken = '${BOT_TOKEN}'",
        [
            (
                "channels.mattermost.botToken: is text here, not the value of a variable "
                '(write { source = "env", id = "BOT_TOKEN" })'
            )
        ],
    ),
    (
        "a server of one's own",
        M + "botToken = 'x'\nbaseUrl = 'http://192.168.7.4:8065'",
        ["channels.mattermost.baseUrl: Blocked hostname or private/internal/special-use IP address: 192.168.7.4 is"],
    ),
    (
        "a server on this machine",
        M + "botToken = 'x'\nbaseUrl = 'http://localhost:8065'",
        ["set channels.mattermost.network.dangerouslyAllowPrivateNetwork to true"],
    ),
    (
        "an odd spelling of an address",
        M + "botToken = 'x'\nbaseUrl = 'http://127.1'",
        ["127.1 is an IPv4 address in a form"],
    ),
    (
        "secret from nowhere",
        M + "botToken = { source = 'vault' }",
        ['channels.mattermost.botToken.source: must be one of "env", "file", "exec"'],
    ),
    (
        "secret without name",
        M + "botToken = { source = 'env' }",
        ["channels.mattermost.botToken.id: must be the name of an environment variable"],
    ),
    (
        "legacy switch of a wrong type",
        M + "respondToDMs = 'no'",
        ["channels.mattermost.respondToDMs: must be true or false, not text"],
    ),
    (
        "several at once",
        M + "dmPolcy = 1\nchatmode = 'x'\n[gateway]\nport = 70000\n[store]\nurl = 'x'",
        ["channels.mattermost.dmPolcy", "channels.mattermost.chatmode", "gateway.port", "store.url"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), [entry[1:] for entry in BROKEN], ids=[entry[0] for entry in BROKEN])
def test_broken_file_says_what_to_do(load_text: Callable[..., Loaded], text: str, expected: list[str]) -> None:
    """Each mistake is named with its path and what is allowed, none is named twice, and nothing else is said."""
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == len(expected), problems
    for words in expected:
        assert any(words in line for line in problems), (words, problems)


def test_problems_name_file_and_line(load_text: Callable[..., Loaded]) -> None:
    """The operator is led to the line."""
    with pytest.raises(ConfigError) as caught:
        load_text("# my bot\n[channels.mattermost]\nname = 'x'\nchatmode = 'y'\n")
    assert caught.value.problems[0].where.endswith("oc-trio.toml:4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (M, "nobody may talk to the bot in channels"),
        (M + "dmPolicy = 'allowlist'", '"allowlist" with an empty allowFrom admits nobody'),
        (M + "allowFrom = ['@alice']", "is not a Mattermost user id"),
        ("[agents.defaults.tools]\napprovers = ['@alice']", "approvers[0]: is not a Mattermost user id"),
        ("gateway.drainSeconds = 3000", "keeps a stop waiting"),
        (M + "interactions.callbackBaseUrl = 'http://h/api/channels/mattermost/command'", "slash command URL"),
        (
            M + "groupAllowFrom = ['<your-user-id>']",
            'so it matches nothing (oc-trio channels resolve "@NAME" prints the id)',
        ),
        (
            M + "onlyChannels = ['#dev']",
            "not a Mattermost channel id (26 letters and digits), so it matches nothing (oc-t",
        ),
        (M + "onlyTeams = ['dev']", "(the server's /api/v4/teams/name/dev has the id)"),
        (
            "[[bindings]]\nagentId = 'main'\nmatch.teamId = 'dev'",
            "bindings[0].match.teamId: is not a Mattermost team id",
        ),
        (M + "groups.dev.requireMention = false", "groups.dev: is not a Mattermost channel id"),
        (
            "[[bindings]]\nagentId = 'main'\nmatch.peer = { kind = 'direct', id = '@alice' }",
            "bindings[0].match.peer.id: is not a Mattermost user id",
        ),
        (
            "[[bindings]]\nagentId = 'main'\nmatch.peer = { kind = 'group', id = '~dev' }",
            'oc-trio channels resolve "#dev" prints the id',
        ),
        (
            M + "commands = { native = true, callbackUrl = 'http://inside:18789/x' }",
            'own port, 18789, but it listens on 127.0.0.1 only (set gateway.bind = "lan"',
        ),
        (M + "interactions.callbackBaseUrl = 'http://[fd00::2]:18789'", 'customBindHost = "::"'),
        (M + "[gateway]\naccounts = ['default']", "leaves the other accounts without a process"),
    ],
    ids=[
        "closed channels",
        "closed direct messages",
        "name without matching",
        "approver without matching",
        "long drain",
        "wrong URL",
        "placeholder for a person",
        "name of a channel to serve",
        "name of a team to serve",
        "name of a team in a binding",
        "name of a channel with a rule",
        "name of a person in a binding",
        "name of a channel in a binding",
        "commands where nobody listens",
        "buttons where nobody listens",
        "accounts for one process at its SQLite",
    ],
)
def test_odd_but_usable_values_are_warned_about(load_text: Callable[..., Loaded], text: str, words: str) -> None:
    """What works but surprises is a warning."""
    assert any(words in str(warning) for warning in load_text(text).warnings)


@pytest.mark.parametrize(
    "text",
    [
        M + "commands = { native = true, callbackUrl = 'http://inside:18789/x' }\n[gateway]\nbind = 'lan'",
        M + "commands = { native = true, callbackUrl = 'http://inside/x' }",
        M + "commands = { native = true, callbackUrl = 'http://localhost:18789/x' }",
        M + "commands = { callbackUrl = 'http://inside:18789/x' }",
        M + f"groups = {{ '*' = {{}}, {'x' * 26} = {{}} }}",
    ],
    ids=["open port", "behind a proxy", "same machine", "no commands", "ids"],
)
def test_what_is_in_order_gives_no_warning(load_text: Callable[..., Loaded], text: str) -> None:
    """Nothing is said of addresses and ids that may well work."""
    warnings = " ".join(map(str, load_text(text).warnings))
    assert "this gateway's own port" not in warnings
    assert "matches nothing" not in warnings
