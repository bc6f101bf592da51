"""The root of the configuration; each section is declared in a module of its own."""

from collections.abc import Mapping

from oc_trio.classes import frozen
from oc_trio.config.access import ImplicitMentions
from oc_trio.config.agents import Agents, Mcp, Models, Skills
from oc_trio.config.conversation import AccessGroup, BindingSettings, ChatCommands, Messages, SessionRules
from oc_trio.config.fields import key, section, table_of
from oc_trio.config.gateway import GatewaySettings, Logging, MetricsSettings, StoreSettings
from oc_trio.config.mattermost import MattermostSection
from oc_trio.config.services import CronSettings, Hooks
from oc_trio.config.telemetry import TelemetrySettings
from oc_trio.core.access import GroupPolicy
from oc_trio.core.context import ContextVisibility


@frozen
class ChannelDefaults:
    """`channels.defaults`: what `channels.mattermost` takes where it says nothing."""

    group_policy: GroupPolicy | None = key(None, "As `channels.mattermost.groupPolicy`; needs that section to exist.")
    context_visibility: ContextVisibility | None = key(None, "As `channels.mattermost.contextVisibility`.")
    implicit_mentions: ImplicitMentions | None = key(None, "As `channels.mattermost.implicitMentions`.")


@frozen
class ChannelSettings:
    """`channels`."""

    defaults: ChannelDefaults = section(ChannelDefaults, "What holds where a channel says nothing.")
    mattermost: MattermostSection = section(MattermostSection, "Mattermost.")


@frozen
class Config:
    """Everything that a configuration file can set. Accounts are not merged yet: `accounts` does that."""

    channels: ChannelSettings = section(ChannelSettings, "Where people talk.")
    gateway: GatewaySettings = section(GatewaySettings, "The process and its listeners.")
    agents: Agents = section(Agents, "Who answers.")
    models: Models = section(Models, "Model endpoints.")
    bindings: tuple[BindingSettings, ...] = key((), "Which agent answers where.")
    session: SessionRules = section(SessionRules, "What belongs to one conversation.")
    messages: Messages = section(Messages, "How messages are taken in and queued.")
    commands: ChatCommands = section(ChatCommands, "Commands in chat.")
    access_groups: Mapping[str, AccessGroup] = table_of("Named lists of people.")
    hooks: Hooks = section(Hooks, "Calls from other programs.")
    cron: CronSettings = section(CronSettings, "Scheduled messages.")
    mcp: Mcp = section(Mcp, "Tool servers.")
    skills: Skills = section(Skills, "Skills.")
    store: StoreSettings = section(StoreSettings, "The journal.")
    logging: Logging = section(Logging, "Logs.")
    metrics: MetricsSettings = section(MetricsSettings, "Metrics.")
    telemetry: TelemetrySettings = section(TelemetrySettings, "Traces and metrics for a collector.")
