"""An openclaw.json in oc-trio's terms: variables and secrets put in, agents, models and sessions in our shapes.

What has no equivalent stays in the values and is listed by `foreign_keys` once the rest was read.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from oc_trio.config.findings import Findings
from oc_trio.config.openclaw_agents import adapt_agents
from oc_trio.config.openclaw_conversation import adapt_conversation
from oc_trio.config.openclaw_draft import OpenClawDraft
from oc_trio.config.openclaw_models import adapt_models
from oc_trio.config.openclaw_store import StoreUnreadable
from oc_trio.config.parse import Invalid
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
    draft = OpenClawDraft(substitution.document(document), found)
    adapt_agents(draft, env)
    adapt_models(draft, env, _stored_keys(draft, substitution.providers))
    adapt_conversation(draft)
    draft.values.pop("secrets", None)
    shell = draft.table("env").get("shellEnv")
    draft.values.pop("env", None)
    if isinstance(shell, Mapping) and shell.get("enabled") is True:
        draft.values["env"] = {"shellEnv": shell}
    return Adapted(draft.values, draft.written, tuple(substitution.problems))


def _stored_keys(draft: OpenClawDraft, providers: SecretProviders) -> dict[str, Any]:
    """The keys that were given to OpenClaw when it was set up. `auth`, which names them, needs no further word then."""
    store, auth = providers.store, draft.table("auth")
    profiles = [one for one in draft.table("auth", "profiles").values() if isinstance(one, Mapping)]
    if auth and all(one.get("mode") == "api_key" for one in profiles):
        del draft.values["auth"]
    order = auth.get("order")
    try:
        keys = store.keys(order if isinstance(order, Mapping) else {})
    except StoreUnreadable as broken:
        draft.odd(str(store.database), str(broken), "the keys that OpenClaw keeps there are not used")
        return {}
    made = {}
    for name, key in keys.items():
        try:
            made[name] = providers.resolve(key, f"{store.database}: {name}") if isinstance(key, Mapping) else key
        except Invalid as wrong:
            draft.odd(f"auth.profiles.{name}", wrong.problem.message, wrong.problem.hint)
    return made
