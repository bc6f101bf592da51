"""An openclaw.json in oc-trio's terms: variables and secrets put in, agents, models and sessions in our shapes.

What has no equivalent stays in the values and is listed by `foreign_keys` once the rest was read.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from oc_trio.config.findings import Findings
from oc_trio.config.openclaw_agents import adapt_agents
from oc_trio.config.openclaw_conversation import adapt_conversation
from oc_trio.config.openclaw_draft import Draft
from oc_trio.config.openclaw_models import adapt_models
from oc_trio.config.secret_providers import SecretProviders
from oc_trio.config.substitution import Substitution
from oc_trio.errors import Problem


@frozen
class Adapted:
    """`written` has the new paths, each with the one in the file. `missing` are values that can't be had, in the file's
    paths: problems only where somebody wants them.
    """

    values: dict[str, Any] = field(repr=False, hash=False)
    written: Mapping[str, str] = field(factory=dict, hash=False)
    missing: tuple[Problem, ...] = ()


def adapt(document: Mapping[str, Any], env: Mapping[str, str], found: Findings) -> Adapted:
    """The document in oc-trio's terms; `env` has the variables in effect."""
    substitution = Substitution(env, SecretProviders.of(document, env))
    draft = Draft(substitution.document(document), found)
    adapt_agents(draft, env)
    adapt_models(draft, env)
    adapt_conversation(draft)
    draft.values.pop("secrets", None)
    shell = draft.table("env").get("shellEnv")
    draft.values.pop("env", None)
    if isinstance(shell, Mapping) and shell.get("enabled") is True:
        draft.values["env"] = {"shellEnv": shell}
    return Adapted(draft.values, draft.written, tuple(substitution.problems))
