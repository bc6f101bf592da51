"""Converts an openclaw.json to oc-trio's form: substitutes variables and secrets, rewrites agents, models, sessions.

Keys without an equivalent stay in the values; the reader ignores them and `foreign_keys` lists them.
"""

from collections.abc import Mapping
from typing import Any

from oc_trio.config.adapted import Adapted
from oc_trio.config.findings import Findings
from oc_trio.config.openclaw_agents import adapt_agents
from oc_trio.config.openclaw_conversation import adapt_conversation
from oc_trio.config.openclaw_draft import OpenClawDraft
from oc_trio.config.openclaw_models import adapt_models
from oc_trio.config.openclaw_store import StoreUnreadable
from oc_trio.config.parse import Invalid
from oc_trio.config.secret_providers import SecretProviders
from oc_trio.config.substitution import Substitution

# Tables of the time before `agents`: without them another model would answer, or none.
_OLDEST = ("agent", "routing", "identity")


def adapt(document: Mapping[str, Any], env: Mapping[str, str], findings: Findings) -> Adapted:
    """The document in oc-trio's form; `env` has the variables in effect."""
    substitution = Substitution(env, SecretProviders.of(document, env))
    draft = OpenClawDraft(substitution.document(document), findings)
    for key in _OLDEST:
        if isinstance(document.get(key), Mapping):
            hint = (
                "write agents.defaults and agents.entries, bindings, messages.groupChat and channels.mattermost instead"
            )
            findings.error(key, "is of the oldest releases, and OpenClaw doesn't read it any more either", hint)
            del draft.values[key]
    # First: the models that agents name are looked for in `agents.entries`.
    adapt_agents(draft, env)
    adapt_models(draft, env, _stored_keys(draft, substitution.providers))
    adapt_conversation(draft)
    # Both have been used up by now. `shellEnv` is put back, so that its owner is told that it is not read.
    draft.values.pop("secrets", None)
    shell = draft.table("env").get("shellEnv")
    draft.values.pop("env", None)
    if isinstance(shell, Mapping) and shell.get("enabled") is True:
        draft.values["env"] = {"shellEnv": shell}
    return Adapted(draft.values, draft.original_paths, tuple(substitution.unavailable))


def _stored_keys(draft: OpenClawDraft, providers: SecretProviders) -> dict[str, Any]:
    """The API keys that OpenClaw stored when it was set up. The section `auth` then counts as used, and is not
    reported as foreign, unless it has logins by subscription.
    """
    store, auth = providers.store, draft.table("auth")
    profiles = [profile for profile in draft.table("auth", "profiles").values() if isinstance(profile, Mapping)]
    if auth and all(profile.get("mode") == "api_key" for profile in profiles):
        del draft.values["auth"]
    order = auth.get("order")
    try:
        keys = store.keys(order if isinstance(order, Mapping) else {})
    except StoreUnreadable as error:
        draft.warning(str(store.database), str(error), "the keys that OpenClaw keeps there are not used")
        return {}
    resolved = {}
    for name, key in keys.items():
        try:
            resolved[name] = providers.resolve(key, f"{store.database}: {name}") if isinstance(key, Mapping) else key
        except Invalid as error:
            draft.warning(f"auth.profiles.{name}", error.problem.message, error.problem.hint)
    return resolved
