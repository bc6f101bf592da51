"""The rules by which one turn's answer is formatted: the account's, with the names in its response prefix filled in."""

from attrs import evolve

from oc_trio.core.draft_view import ViewStyle
from oc_trio.core.final_plan import ReplyRules
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.text_prefix import reply_prefix
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.services import AccountServices


def reply_rules(services: AccountServices, message: InboundMessage, settings: SessionSettings) -> ReplyRules:
    """How the final answer to `message` is prepared."""
    return evolve(services.policies.reply, response_prefix=_prefix(services, message, settings))


def view_style(services: AccountServices, message: InboundMessage, settings: SessionSettings) -> ViewStyle:
    """How the draft of the answer to `message` looks while it grows."""
    seed = f"{services.account}:{message.channel_id}"
    style = evolve(
        services.policies.view, seed=seed, reasoning=bool(settings.reasoning), verbose=bool(settings.verbose)
    )
    return evolve(style, response_prefix=_prefix(services, message, settings))


def _prefix(services: AccountServices, message: InboundMessage, settings: SessionSettings) -> str:
    policies, agents = services.policies, services.agents
    identity = policies.identities.get(message.agent, "")
    model = settings.model or agents.primary.get(message.agent, "")
    thinking = agents.setup(message.agent, settings).thinking
    return reply_prefix(policies.prefix, identity=identity, model=model, thinking=thinking)
