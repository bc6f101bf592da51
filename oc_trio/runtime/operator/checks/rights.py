"""`oc-trio doctor` on rights: may the bot post, edit, react, upload, open direct channels and manage slash commands?

Each is tried in the bot's direct channel with itself and removed again, slash commands in each team.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio
from attrs import evolve

from oc_trio.callbacks.expected import TRIGGER
from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.core.entities import NewPost, SlashCommand, Team
from oc_trio.core.post_marker import BY, COMMAND, MARKER
from oc_trio.core.slash import CommandSpec
from oc_trio.core.slash_plan import Registrar
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import FileId, PostId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.files import FileService, from_bytes
from oc_trio.mattermost.post_creator import create_post_idempotent
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.runtime.handlers.callback_urls import CallbackPlan
from oc_trio.runtime.operator.findings import Finding, Level

# For all that is tried with posts, and for the commands of each team.
_SECONDS = 20.0
_REMOVE_SECONDS = 10.0
_TEXT = "oc_trio checks what it may do. This post will be gone in a moment."
_ROLES = "System Console > User Management > Permissions"
# By what is tried: the level of a refusal, and what to do.
_FIXES = {
    "direct": (Level.WARNING, f"grant the bot's role Create Direct Channel ({_ROLES})"),
    "upload": (
        Level.WARNING,
        f"grant the bot's role Upload Files ({_ROLES}), and set FileSettings.EnableFileAttachments to true",
    ),
    "post": (Level.FAILED, f"grant the bot's role Create Posts ({_ROLES})"),
    "edit": (
        Level.FAILED,
        f"grant the bot's role Edit Own Posts ({_ROLES}), and set ServiceSettings.PostEditTimeLimit to -1",
    ),
    "react": (Level.WARNING, f"grant the bot's role Add Reactions ({_ROLES})"),
    "delete": (Level.WARNING, f"grant the bot's role Delete Own Posts ({_ROLES})"),
}


@frozen(eq=False)
class _Trial:
    """What was tried so far; `refusals` has the error of each right that is missing."""

    names: list[str]
    refusals: dict[str, MattermostError]

    async def run(self, name: str, action: Callable[[], Awaitable[object]]) -> object | None:
        self.names.append(name)
        try:
            return await action()
        except MattermostError as refusal:
            # The next right is tried all the same, so that one run names everything that is missing.
            self.refusals[name] = refusal
            return None


async def check_rights(outbound: OutboundClient) -> list[Finding]:
    """The findings about what the bot may do with posts."""
    subject, trial = f"rights of {outbound.account}", _Trial([], {})
    with trio.move_on_after(_SECONDS) as scope:
        await _try_all(outbound, trial)
    if scope.cancelled_caught:
        text = f"trying them took longer than {_SECONDS:g} s (it hung at: {trial.names[-1]})"
        return [Finding(Level.WARNING, subject, text, "rights.slow", "look at Mattermost's own log and load")]
    found = []
    for name, refusal in trial.refusals.items():
        level, fix = _FIXES[name]
        refused = isinstance(refusal, MattermostRejected)
        text = f"may not {_VERBS[name]}: {refusal}" if refused else f"could not {_VERBS[name]}: {refusal}"
        found.append(Finding(level, subject, text, f"rights.{name}", fix))
    if not found:
        text = "may post, edit, react, upload and open direct channels"
        found.append(Finding(Level.OK, subject, text, "rights.ok"))
    return found


_VERBS = {
    "direct": "open direct channels",
    "upload": "upload files",
    "post": "post",
    "edit": "edit its posts",
    "react": "react to posts",
    "delete": "delete its posts",
}


async def _try_all(outbound: OutboundClient, trial: _Trial) -> None:
    api, bot, clock = outbound.api, outbound.user.id, outbound.clock
    channel = None

    async def direct() -> None:
        nonlocal channel
        channel = await api.channels.direct(bot, bot)

    await trial.run("direct", direct)
    if channel is None:
        return
    place = channel.id
    file_ids: list[FileId] = []

    async def upload() -> None:
        info = await FileService(api).upload(place, from_bytes("check.txt", b"oc_trio\n"))
        file_ids.append(info.id)

    # Before the post, which takes the file with it when it is deleted.
    await trial.run("upload", upload)
    posted: list[PostId] = []

    async def post() -> None:
        key = f"{bot}:{clock.new_id()}"
        # Marked as a command's, or a gateway that runs would take it for another one's.
        new = NewPost(place, _TEXT, pending_post_id=key, file_ids=tuple(file_ids), props={MARKER: {BY: COMMAND}})
        made = await create_post_idempotent(api, new, bot_id=bot, random=clock.random.random)
        posted.append(made.id)

    await trial.run("post", post)
    if not posted:
        return
    (post_id,) = posted
    try:
        await trial.run("edit", lambda: api.posts.patch(post_id, message=f"{_TEXT} Edited."))
        await trial.run("react", lambda: api.reactions.add(bot, post_id, "white_check_mark"))
    finally:
        # Also when the check takes too long: nobody else knows of the post.
        with trio.move_on_after(_REMOVE_SECONDS, shield=True):
            await trial.run("delete", lambda: api.posts.delete(post_id))


async def check_commands(
    outbound: OutboundClient, account: Account, plan: CallbackPlan, teams: Sequence[Team]
) -> list[Finding]:
    """Whether the bot may manage slash commands, in each team; nothing where none are wanted."""
    if not plan.native:
        return []
    subject = f"slash commands of {account.id}"
    refused: dict[str, list[str]] = {}
    found: list[Finding] = []
    for team in teams:
        try:
            with trio.fail_after(_SECONDS):
                await _manage(outbound.api, Registrar(outbound.user.id, plan.command_url), team, outbound.clock.new_id)
        except MattermostError as problem:
            status, code = _status(problem)
            if code == "api.command.disabled.app_error":
                text = "custom slash commands are switched off in Mattermost"
                fix = "set ServiceSettings.EnableCommands to true (System Console > Integrations)"
                return [Finding(Level.FAILED, subject, text, "slash.disabled", fix)]
            if status == 403:
                refused.setdefault(str(problem), []).append(team.name)
            else:
                text = f"team {team.name}: {problem}"
                found.append(Finding(Level.WARNING, subject, text, "slash.unknown", "look at Mattermost's log"))
        except trio.TooSlowError:
            text = f"team {team.name}: no answer within {_SECONDS:g} s"
            found.append(Finding(Level.WARNING, subject, text, "slash.unknown", "look at Mattermost's log"))
    for names in refused.values():
        word = "team" if len(names) == 1 else "teams"
        text = f"@{outbound.user.username} may not manage slash commands in {word} {', '.join(names)}"
        fix = f"grant Manage Slash Commands or make @{outbound.user.username} team admin there"
        found.append(Finding(Level.FAILED, subject, text, "slash.rights", fix))
    return found


async def _manage(api: Api, registrar: Registrar, team: Team, new_id: Callable[[], str]) -> None:
    """Raises MattermostError where commands can be neither listed nor made."""
    try:
        await api.commands.list(team.id)
    except MattermostRejected as refusal:
        if refusal.status != 403:
            raise
    else:
        return
    # A role may create commands without listing them.
    trigger = TRIGGER + new_id()[:8]
    command = registrar.command(team.id, CommandSpec(trigger, trigger, "Made by a check of oc_trio, removed by it"))
    made: SlashCommand = await api.commands.create(evolve(command, auto_complete=False))
    # As above, of the command.
    with trio.move_on_after(_REMOVE_SECONDS, shield=True):
        await api.commands.delete(made.id)


def _status(problem: MattermostError) -> tuple[int, str]:
    if isinstance(problem, (MattermostRejected, MattermostUnavailable)):
        return problem.status or 0, problem.code
    return 0, ""
