"""Every configuration example of OpenClaw's Mattermost pages does what its text says, against the sandbox.

A scenario is the example as it is printed, and a chat: what people write, and what the bot writes then. Channels are
`square` (public), `den` (private), and `alice` and `bob`, their direct messages with the bot. The agent repeats what it
heard. `in #2` means a thread under the second line of that channel.
"""

from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Say
from oc_trio.config.document import read_document
from oc_trio.core.context import spoken
from oc_trio.sandbox.records import ChannelRecord
from tests.runtime.harness import Harness, merged

# What holds where an example says nothing; the harness's own defaults are more open.
DEFAULTS: dict[str, Any] = {"dmPolicy": "pairing", "allowFrom": [], "groupPolicy": "allowlist", "replyToMode": "off"}

SCENARIOS = [
    (
        "quick setup: unknown senders get a pairing code, channels admit nobody",
        """{ channels: { mattermost: {
             enabled: true, botToken: "mm-token", baseUrl: "https://chat.example.com", dmPolicy: "pairing",
        } } }""",
        """
        alice in alice: hi
            helper: (pairing code)
        alice in alice: hello?
        alice in square: @helper hi
        """,
    ),
    (
        "oncall: respond only when mentioned in channels, and always in direct messages",
        """{ channels: { mattermost: { groupPolicy: "open", dmPolicy: "open", allowFrom: ["*"],
             chatmode: "oncall" } } }""",
        """
        alice in square: hi
        alice in square: @channel hi
        alice in square: hello @here and @all
        alice in square: `@helper` is a bot
        alice in square: hi @Helper, how are you?
            helper: heard hi, how are you?
        bob in bob: hi
            helper: heard hi
        """,
    ),
    (
        "onmessage: respond to every channel message",
        """{ channels: { mattermost: { groupPolicy: "open", chatmode: "onmessage" } } }""",
        """
        alice in square: hi
            helper: heard hi
        bob in den: hi
            helper: heard hi
        """,
    ),
    (
        "onchar: respond when a message starts with a trigger prefix, and to mentions",
        """{ channels: { mattermost: { groupPolicy: "open", chatmode: "onchar", oncharPrefixes: [">", "!"], }, }, }""",
        """
        alice in square: hi
        alice in square: > what time is it
            helper: heard what time is it
        alice in square: !what now
            helper: heard what now
        alice in square: 1 > 0
        alice in square: @helper hi
            helper: heard hi
        """,
    ),
    (
        "requireMention is honoured for legacy configs",
        """{ channels: { mattermost: { groupPolicy: "open", requireMention: false } } }""",
        """
        alice in square: hi
            helper: heard hi
        """,
    ),
    (
        "chatmode is preferred to requireMention",
        """{ channels: { mattermost: { groupPolicy: "open", requireMention: false, chatmode: "oncall" } } }""",
        """
        alice in square: hi
        """,
    ),
    (
        "replyToMode all: a thread under the triggering post; direct messages stay non-threaded",
        """{ channels: { mattermost: { groupPolicy: "open", dmPolicy: "open", allowFrom: ["*"],
             replyToMode: "all", } } }""",
        """
        alice in square: @helper hi
            helper in #1: heard hi
        alice in square in #1: and now?
            helper in #1: heard and now?
        alice in alice: hi
            helper: heard hi
        """,
    ),
    (
        "replyToMode first: the same",
        """{ channels: { mattermost: { groupPolicy: "open", replyToMode: "first", } } }""",
        """
        alice in square: hello all
        alice in square: @helper hi
            helper in #2: heard hi
        """,
    ),
    (
        "replyToMode off: in a thread only when the inbound post is already in one",
        """{ channels: { mattermost: { groupPolicy: "open", replyToMode: "off", } } }""",
        """
        alice in square: @helper hi
            helper: heard hi
        alice in square: a root
        alice in square in #3: @helper in here?
            helper in #3: heard in here?
        """,
    ),
    (
        "replyToModeByChatType.direct is the way to threads in direct messages",
        """{ channels: { mattermost: { dmPolicy: "open", allowFrom: ["*"],
             replyToModeByChatType: { direct: "all" } } } }""",
        """
        alice in alice: hi
            helper in #1: heard hi
        alice in alice in #1: more
            helper in #1: heard more
        """,
    ),
    (
        "public direct messages",
        """{ channels: { mattermost: { dmPolicy: "open", allowFrom: ["*"] } } }""",
        """
        alice in alice: hi
            helper: heard hi
        bob in bob: hi
            helper: heard hi
        """,
    ),
    (
        "direct messages for listed people, without pairing",
        """{ channels: { mattermost: { dmPolicy: "allowlist", allowFrom: ["ALICE"] } } }""",
        """
        alice in alice: hi
            helper: heard hi
        bob in bob: hi
            helper: (why not)
        bob in bob: please
        """,
    ),
    (
        "channels for listed people, mention-gated",
        """{ channels: { mattermost: { groupPolicy: "allowlist", groupAllowFrom: ["user:ALICE"] } } }""",
        """
        alice in square: hi
        alice in square: @helper hi
            helper: heard hi
        bob in square: @helper hi
        """,
    ),
    (
        "@username counts with dangerouslyAllowNameMatching",
        """{ channels: { mattermost: { groupAllowFrom: ["@alice"], dangerouslyAllowNameMatching: true } } }""",
        """
        alice in square: @helper hi
            helper: heard hi
        bob in square: @helper hi
        """,
    ),
    (
        "@username does not count without it",
        """{ channels: { mattermost: { groupAllowFrom: ["@alice"] } } }""",
        """
        alice in square: @helper hi
        """,
    ),
    (
        "open channels, mention-gated, with a rule for one of them",
        """{ channels: { mattermost: { groupPolicy: "open",
             groups: { "*": { requireMention: true }, "DEN": { requireMention: false }, }, }, }, }""",
        """
        alice in square: hi
        alice in square: @helper hi
            helper: heard hi
        bob in den: hi
            helper: heard hi
        """,
    ),
    (
        "a rule for a channel beats onmessage",
        """{ channels: { mattermost: { groupPolicy: "open", chatmode: "onmessage",
             groups: { "SQUARE": { requireMention: true } } } } }""",
        """
        alice in square: hi
        alice in den: hi
            helper: heard hi
        """,
    ),
    (
        "access groups",
        """{ channels: { mattermost: { groupAllowFrom: ["accessGroup:ops"], allowFrom: ["accessGroup:all"] } },
             accessGroups: { ops: { type: "message.senders", members: { mattermost: ["ALICE"] } },
                             all: { type: "message.senders", members: { "*": ["BOB"] } } } }""",
        """
        alice in square: @helper hi
            helper: heard hi
        bob in square: @helper hi
        bob in bob: hi
            helper: heard hi
        """,
    ),
    (
        "support thread: threads for one person over a private network, pairing for direct messages",
        """{ channels: { mattermost: {
             enabled: true, botToken: "...", baseUrl: "http://100.111.228.114:8065", dmPolicy: "pairing",
             groupPolicy: "allowlist", groupAllowFrom: ["ALICE"],
             network: { dangerouslyAllowPrivateNetwork: true, }, replyToMode: "all",
        } } }""",
        """
        alice in square: @helper hi
            helper in #1: heard hi
        bob in square: @helper hi
        alice in alice: hi
            helper: (pairing code)
        """,
    ),
    (
        "integration page: one person, one team",
        """{ "channels": { "mattermost": {
             "enabled": true, "serverUrl": "https://your-mattermost-server.com", "botToken": "YOUR_BOT_ACCESS_TOKEN",
             "allowFrom": ["ALICE"], "teamId": "TEAM"
        } } }""",
        """
        alice in alice: hi
            helper: heard hi
        alice in square: @helper hi
            helper: heard hi
        bob in square: @helper hi
        """,
    ),
    (
        "integration page, advanced: two people, one channel",
        """{ "channels": { "mattermost": {
             "enabled": true, "serverUrl": "https://your-mattermost-server.com", "botToken": "YOUR_BOT_ACCESS_TOKEN",
             "allowFrom": ["ALICE", "BOB"], "teamId": "TEAM", "allowChannels": ["SQUARE"],
             "respondToMentions": true, "respondToDMs": true, "useWebSocket": true, "reconnectInterval": 5000
        } } }""",
        """
        bob in square: @helper hi
            helper: heard hi
        alice in den: @helper hi
        alice in alice: hi
            helper: heard hi
        """,
    ),
    (
        "integration page: another team",
        """{ "channels": { "mattermost": { "allowFrom": ["ALICE"], "teamId": "OTHERTEAM" } } }""",
        """
        alice in square: @helper hi
        alice in alice: hi
            helper: heard hi
        """,
    ),
    (
        "integration page: respondToMentions off",
        """{ "channels": { "mattermost": { "allowFrom": ["ALICE"], "respondToMentions": false } } }""",
        """
        alice in square: @helper hi
        alice in alice: hi
            helper: heard hi
        """,
    ),
    (
        "integration page: respondToDMs off",
        """{ "channels": { "mattermost": { "allowFrom": ["ALICE"], "respondToDMs": false } } }""",
        """
        alice in alice: hi
            helper: (why not)
        alice in square: @helper hi
            helper: heard hi
        """,
    ),
    (
        "integration page: useWebSocket off polls",
        """{ "channels": { "mattermost": { "allowFrom": ["ALICE"], "useWebSocket": false,
             "reconnectInterval": 1000 } } }""",
        """
        alice in square: @helper hi
            helper: heard hi
        """,
    ),
    (
        "bindings: one channel to another agent",
        """{ channels: { mattermost: { groupPolicy: "open", dmPolicy: "open", allowFrom: ["*"] } },
             agents: { entries: { main: { identity: { name: "Main" } }, agent2: { identity: { name: "Two" } } } },
             messages: { responsePrefix: "auto" },
             bindings: [
               { agentId: "agent2", match: { channel: "mattermost", accountId: "default",
                   peer: { kind: "channel", id: "SQUARE" }, }, },
               { agentId: "main", match: { channel: "mattermost", accountId: "default" }, },
             ] }""",
        """
        alice in square: @helper hi
            helper: [Two] heard hi
        alice in den: @helper hi
            helper: [Main] heard hi
        alice in alice: hi
            helper: [Main] heard hi
        """,
    ),
    (
        "mention patterns, and the agent's name where there are none",
        """{ channels: { mattermost: { groupPolicy: "open" } },
             agents: { entries: { main: { identity: { name: "Ada" } },
                                  two: { groupChat: { mentionPatterns: ["\\\\bhey bots?\\\\b"] } } } },
             bindings: [{ agentId: "two", match: { peer: { kind: "channel", id: "SQUARE" } } }] }""",
        """
        alice in square: hey bots
            helper: heard hey bots
        alice in square: Ada?
        alice in den: Ada, are you there?
            helper: heard Ada, are you there?
        alice in den: hey bots
        alice in den: Adam?
        """,
    ),
    (
        "mention patterns for all agents; an empty list turns names off",
        """{ channels: { mattermost: { groupPolicy: "open" } }, messages: { groupChat: { mentionPatterns: [] } },
             agents: { entries: { main: { identity: { name: "Ada" } } } } }""",
        """
        alice in square: Ada, are you there?
        alice in square: @helper hi
            helper: heard hi
        """,
    ),
]  # fmt: skip


@define(eq=False)
class Chat:
    """Plays the people's lines of a scenario and writes down everything that was said."""

    harness: Harness
    channels: dict[str, ChannelRecord]
    reported: set[str] = field(factory=set)
    lines: list[str] = field(factory=list)
    posts: dict[str, list[str]] = field(factory=dict)

    async def play(self, script: str) -> str:
        for line in script.strip().splitlines():
            if line.strip().startswith("helper"):
                continue
            head, _, text = line.strip().partition(": ")
            name, channel, *under = head.split(" in ")
            root = self.posts[channel][int(under[0][1:]) - 1] if under else ""
            person = self.harness.alice if name == "alice" else self.harness.bob
            post = self.harness.say(text, root=root, by=person, channel=self.channels[channel])
            self.posts.setdefault(channel, []).append(post.id)
            self.lines.append(line.strip())
            await trio.sleep(3)
            await self.harness.settled()
            self._write_down()
        return "\n".join(self.lines)

    def _write_down(self) -> None:
        for name, channel in self.channels.items():
            for post in self.harness.ours(channel):
                if post.id not in self.reported:
                    self.reported.add(post.id)
                    known = self.posts.setdefault(name, [])
                    under = f" in #{known.index(post.root_id) + 1}" if post.root_id else ""
                    known.append(post.id)
                    self.lines.append(f"helper{under}: {_short(post.message)}")


def _short(text: str) -> str:
    if "Pairing code:" in text:
        return "(pairing code)"
    return text if "heard" in text else "(why not)"


def echo(request: TurnRequest) -> list[Say]:
    return [Say(f"heard {spoken(request.messages[-1].text)}", delay=0)]


@pytest.mark.parametrize(("text", "script"), [row[1:] for row in SCENARIOS], ids=[row[0] for row in SCENARIOS])
async def test_example(harness: Harness, tmp_path: Path, text: str, script: str) -> None:
    """The people's lines get the bot's lines, and no others."""
    team = harness.world.teams.get(harness.square.team_id)
    den = harness.world.create_channel(team, "den", harness.alice, harness.bob, harness.bot, private=True)
    channels = {
        "square": harness.square,
        "den": den,
        "alice": harness.direct(),
        "bob": harness.world.direct(harness.bob, harness.bot),
    }
    names = {
        "ALICE": harness.alice.id,
        "BOB": harness.bob.id,
        "SQUARE": harness.square.id,
        "DEN": den.id,
        "OTHERTEAM": "o" * 26,
    }
    for placeholder, value in {**names, "TEAM": team.id}.items():
        text = text.replace(f'"{placeholder}"', f'"{value}"').replace(f"user:{placeholder}", f"user:{value}")
    path = tmp_path / "openclaw.json"
    path.write_text(text)
    values = dict(read_document(path).values)
    section = values.pop("channels")["mattermost"]
    connection = {"baseUrl": "http://mm.test", "botToken": harness.bot.token}
    harness.script = echo
    await harness.start(merged(merged(DEFAULTS, section), connection), **values)
    expected = "\n".join(line.strip() for line in script.strip().splitlines())
    assert await Chat(harness, channels).play(script) == expected
