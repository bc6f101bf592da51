"""From the configuration's tables to the policies that each decision owns. One function per decision, nothing more."""

import re
from collections.abc import Mapping
from datetime import UTC
from zoneinfo import ZoneInfo

from attrs import field

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account, normalize_account_id
from oc_trio.config.agents import AgentEntry
from oc_trio.config.model import Config
from oc_trio.core import access, context, draft_view, final_plan, gating, routing
from oc_trio.core.agent_names import NamePatterns, compile_patterns, name_patterns
from oc_trio.core.bounds import AnswerBounds
from oc_trio.core.chat import ChatKind, Sender
from oc_trio.core.chunking import SERVER_LIMIT
from oc_trio.core.coalesce import CoalesceRules
from oc_trio.core.emoji import UnknownEmoji, emoji_name
from oc_trio.core.freshness import Freshness
from oc_trio.core.netguard import NetPolicy
from oc_trio.core.pacing import PacingRules
from oc_trio.core.preview import PreviewRules
from oc_trio.core.progress import ProgressStyle
from oc_trio.core.queueing import DropRule, QueueRules
from oc_trio.ids import AgentId, ChannelId, TeamId, UserId
from oc_trio.runtime.delivery.ack_reactions import AckEmoji

MAIN_AGENT = AgentId("main")


@frozen
class Policies:
    """Everything that decides for one account; `names` are by agent.

    `command_users` None lets everyone use chat commands who may talk to the bot at all. `freshness` says when a
    conversation starts afresh; a person's posts within `gather` seconds are answered together.
    """

    access: access.AccessPolicy
    chat: gating.ChatRules
    routing: routing.RoutingRules
    context: context.ContextPolicy
    view: draft_view.ViewStyle
    reply: final_plan.ReplyRules
    preview: PreviewRules
    pacing: PacingRules
    queue: QueueRules
    text_commands: bool
    blocks: CoalesceRules | None = None
    prefix: str = ""
    identities: Mapping[AgentId, str] = field(factory=dict, hash=False)
    typing_interval: float = 6.0
    turn_limit: float = 1800.0
    acks: AckEmoji = AckEmoji()
    command_users: tuple[str, ...] | None = None
    freshness: Freshness = Freshness()
    gather: float = 0.0
    names: Mapping[AgentId, NamePatterns] = field(factory=dict, hash=False)
    command_prefix: str = "oc_"
    native_commands: bool = False

    def may_command(self, user_id: str, username: str) -> bool:
        """Whether somebody who may talk to the bot may also use chat commands, by whichever way: the one decision."""
        users = self.command_users
        return users is None or access.is_listed(Sender(UserId(user_id), username), users, self.access)

    def names_for(self, agent: AgentId) -> NamePatterns:
        """What counts as calling that agent by name."""
        return self.names.get(agent, ())


def policies(config: Config, account: Account) -> Policies:
    """The policies of `account` under `config`."""
    return Policies(
        access=_access(config, account),
        chat=_chat(account),
        routing=_routing(config, account),
        context=context.ContextPolicy(
            limit=account.history_limit,
            visibility=account.access.context_visibility,
        ),
        view=_view(account),
        reply=final_plan.ReplyRules(
            limit=min(account.delivery.text_chunk_limit, SERVER_LIMIT),
            chunk_mode=account.streaming.chunk_mode,
            tables=account.delivery.markdown.tables,
            allow_channel_mentions=account.delivery.allow_channel_mentions,
            notify=account.delivery.notify,
            bounds=AnswerBounds(account.delivery.max_answer_chars, account.delivery.max_answer_posts),
        ),
        preview=PreviewRules(
            min_chars=max(1, account.streaming.preview.min_chars), max_edits=account.streaming.max_edits
        ),
        # Under load the pause grows up to 15 s, or stays at the configured one if that is longer.
        pacing=PacingRules(base=account.streaming.throttle, longest=max(15.0, account.streaming.throttle)),
        queue=QueueRules(
            mode=config.messages.queue.mode,
            cap=config.messages.queue.cap,
            drop=DropRule(config.messages.queue.drop.value),
            debounce=config.messages.queue.debounce,
        ),
        text_commands=config.commands.text,
        blocks=_blocks(account),
        prefix=account.delivery.response_prefix,
        identities={AgentId(name): entry.identity.name for name, entry in config.agents.entries.items()},
        typing_interval=config.agents.defaults.typing_interval,
        turn_limit=config.agents.defaults.turn_limit,
        acks=AckEmoji(
            _emoji(account.ack_reactions.seen),
            _emoji(account.ack_reactions.done),
            _emoji(account.ack_reactions.failed),
        ),
        command_users=_command_users(config),
        freshness=_freshness(config),
        gather=config.messages.inbound.debounce,
        names={agent: _names(config, entry) for agent, entry in entries(config).items()},
        command_prefix=account.commands.prefix,
        native_commands=account.commands.native,
    )


def _freshness(config: Config) -> Freshness:
    zone = config.agents.defaults.timezone
    return Freshness(
        idle_ms=int(config.session.reset_after * 1000),
        hour=config.session.reset_at_hour,
        zone=None if not zone else UTC if zone == "UTC" else ZoneInfo(zone),
    )


def _emoji(configured: str) -> str:
    """A reaction's name; a character that is none that is known stays as it is, and the server refuses it."""
    try:
        return emoji_name(configured) if configured else ""
    except UnknownEmoji:
        return configured


def net_policy(account: Account) -> NetPolicy:
    """Where an account's server may be."""
    return NetPolicy(allow_private=account.network.dangerously_allow_private_network)


def entries(config: Config) -> dict[AgentId, AgentEntry]:
    """The agents by id; `main` where none is configured."""
    return {AgentId(name): entry for name, entry in config.agents.entries.items()} or {MAIN_AGENT: AgentEntry()}


def default_agent(config: Config) -> AgentId:
    """The entry marked default, `main` where there is one or none at all, else the first."""
    entries = config.agents.entries
    marked = next((name for name, entry in entries.items() if entry.default), None)
    if marked or not entries or MAIN_AGENT in entries:
        return AgentId(marked or MAIN_AGENT)
    return AgentId(next(iter(entries)))


def _access(config: Config, account: Account) -> access.AccessPolicy:
    rules = account.access
    groups: Mapping[str, tuple[str, ...]] = {
        name: (*group.members.get("mattermost", ()), *group.members.get("*", ()))
        for name, group in config.access_groups.items()
    }
    return access.AccessPolicy(
        dm_policy=rules.dm_policy,
        group_policy=rules.group_policy,
        allow_from=rules.allow_from,
        group_allow_from=rules.group_allow_from,
        access_groups=groups,
        match_names=rules.dangerously_allow_name_matching,
        allow_bots=rules.allow_bots,
        bot_allow_from=rules.bot_allow_from,
        # An empty list in the file means no restriction, an empty set in the policy would mean nowhere.
        only_teams=frozenset(TeamId(team) for team in rules.only_teams) or None,
        only_channels=frozenset(ChannelId(channel) for channel in rules.only_channels) or None,
    )


def _chat(account: Account) -> gating.ChatRules:
    rules = account.gating
    return gating.ChatRules(
        chatmode=rules.chatmode,
        onchar_prefixes=rules.onchar_prefixes,
        groups={
            name: group.require_mention for name, group in rules.groups.items() if group.require_mention is not None
        },
        thread_participation=rules.implicit_mentions.thread_participation,
    )


def _routing(config: Config, account: Account) -> routing.RoutingRules:
    by_type = account.delivery.reply_to_mode_by_chat_type
    modes = {
        ChatKind.DIRECT: by_type.direct,
        ChatKind.GROUP: by_type.group,
        ChatKind.CHANNEL: by_type.channel,
    }
    return routing.RoutingRules(
        default_agent=default_agent(config),
        bindings=tuple(_bindings(config)),
        dm_scope=config.session.dm_scope,
        group_scope=config.session.group_scope,
        main_key=config.session.main_key,
        identity_links=_identity_links(config),
        reply_to_mode=account.delivery.reply_to_mode,
        reply_to_mode_by_kind={kind: mode for kind, mode in modes.items() if mode},
    )


def _bindings(config: Config) -> list[routing.Binding]:
    made = []
    for binding in config.bindings:
        match, scopes = binding.match, binding.session
        # A binding of an openclaw.json for another platform; `checks` warns of it in a TOML.
        if match.channel != "mattermost":
            continue
        everyone = match.account_id in (None, "*")
        made.append(
            routing.Binding(
                agent=AgentId(binding.agent_id),
                account=None if everyone else normalize_account_id(str(match.account_id)),
                team=TeamId(match.team_id) if match.team_id else None,
                peer_kind=ChatKind(match.peer.kind.value) if match.peer else None,
                peer_id=match.peer.id if match.peer else None,
                dm_scope=scopes.dm_scope,
                group_scope=scopes.group_scope,
            )
        )
    return made


def _view(account: Account) -> draft_view.ViewStyle:
    streaming, progress = account.streaming, account.streaming.progress
    commands = progress.command_text or streaming.preview.command_text
    return draft_view.ViewStyle(
        mode=streaming.mode,
        progress=ProgressStyle(
            label=progress.label,
            labels=progress.labels,
            max_lines=progress.max_lines,
            max_line_chars=progress.max_line_chars,
            command_text=commands,
        ),
        tool_rows=streaming.preview.tool_progress,
        progress_rows=bool(progress.tool_progress),
        tables=account.delivery.markdown.tables,
        allow_channel_mentions=account.delivery.allow_channel_mentions,
        # A draft is rewritten at each edit, so it shows no more than an ordinary post even where finished posts may be
        # longer.
        max_chars=min(account.delivery.text_chunk_limit, 4000),
    )


def _blocks(account: Account) -> CoalesceRules | None:
    """Completed blocks go out as posts only where there is no draft."""
    streaming = account.streaming
    if streaming.mode is not draft_view.StreamMode.OFF or not streaming.block.enabled:
        return None
    coalesce, limit = streaming.block.coalesce, account.delivery.text_chunk_limit
    most = min(coalesce.max_chars or limit, limit)
    return CoalesceRules(
        min_chars=min(coalesce.min_chars, most),
        max_chars=most,
        idle=coalesce.idle,
        chunk_mode=streaming.chunk_mode,
    )


def _names(config: Config, entry: AgentEntry) -> NamePatterns:
    """The agent's own patterns, else everybody's, else what its identity says; an empty list means none."""
    for patterns in (entry.group_chat.mention_patterns, config.messages.group_chat.mention_patterns):
        if patterns is not None:
            return compile_patterns(patterns)
    return name_patterns(entry.identity.name, entry.identity.emoji)


def _command_users(config: Config) -> tuple[str, ...] | None:
    """Who may use chat commands; owners may in any case."""
    rules = config.commands
    listed = rules.allow_from.get("mattermost", rules.allow_from.get("*"))
    # An empty list is a list: then only owners may.
    return None if listed is None else (*listed, *rules.owner_allow_from)


def _identity_links(config: Config) -> dict[UserId, str]:
    """Each linked user id with its person's name as session keys write it; ids of other platforms are left out."""
    made: dict[UserId, str] = {}
    for name, people in config.session.identity_links.items():
        person = re.sub(r"[^a-z0-9_.-]+", "-", name.strip().lower())
        for one in people:
            platform, _, user = one.strip().lower().rpartition(":")
            if user and platform in ("", "mattermost"):
                made[UserId(user)] = person
    return made
