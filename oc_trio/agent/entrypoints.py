"""Loads agents from other packages: the entry point group `oc_trio.agents`.

An entry point is a callable that takes the settings mapping of its provider and returns an `Agent`.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from oc_trio.agent.checked_events import CheckedAgent
from oc_trio.agent.port import Agent
from oc_trio.errors import ConfigError, Problem

GROUP = "oc_trio.agents"

Factory = Callable[[Mapping[str, Any]], Agent]


def installed_agents() -> dict[str, EntryPoint]:
    """Every installed agent by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_agent(name: str, settings: Mapping[str, Any]) -> Agent:
    """The agent that the entry point `name` makes. Raises `ConfigError` where there is none or it is unusable."""
    installed = installed_agents()
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise ConfigError(Problem("api", f"no agent named {name!r} is installed", f"installed agents: {known}"))
    return make_agent(name, installed[name].load, settings)


def make_agent(name: str, load: Callable[[], Any], settings: Mapping[str, Any]) -> Agent:
    """Load a factory and call it; the events of its agent are checked. Raises `ConfigError` for one that can't be
    imported or makes no agent.
    """
    try:
        factory: Factory = load()
    except (ImportError, AttributeError) as exc:
        raise ConfigError(Problem("api", f"the agent {name!r} can't be loaded: {exc}")) from exc
    if not callable(factory):
        raise ConfigError(Problem("api", f"the agent {name!r} is no callable"))
    agent = factory(settings)
    if not callable(getattr(agent, "run", None)):
        raise ConfigError(Problem("api", f"the agent {name!r} returned something without run()"))
    return CheckedAgent(name, agent)
