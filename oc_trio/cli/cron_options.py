"""Options of `oc-trio cron`: OpenClaw's spellings, those without an equivalent refused with the nearest option.

What they mean together becomes a job in `job_of` and `changed_job`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar

import click

from oc_trio.cli.edge import text_argument

if TYPE_CHECKING:
    from oc_trio.core.cron_jobs import ScheduledJob, Timing

F = TypeVar("F", bound=Callable[..., Any])

_NO_CONNECTION = "The command speaks to the journal and the gateway of this machine by itself; leave it out."
_NO_PROGRAM = "oc-trio runs no commands of its own; a program can call /hooks/deliver (docs/callbacks.md)."
_ON_TIME = "A job runs by the clock only: --at, --every or --cron; another program can call /hooks/agent."
_NO_MAIN = "There is no main session: --message asks the agent in a conversation of the job's own, --text posts as is."
_ALERTS = "Failures are in `oc-trio cron runs` and in the log; nobody is alerted."
# What takes no value is a flag. Every sentence names what to write instead.
_CONNECTION = ("--url", "--token", "--password", "--port", "--timeout", "--expect-final")
_FLAGS = frozenset(
    {
        *("--expect-final", "--best-effort-deliver", "--no-best-effort-deliver", "--deliver", "--no-deliver"),
        *("--light-context", "--no-light-context", "--trigger-once", "--clear-channel", "--clear-display-name"),
        *("--clear-fallbacks", "--clear-pacing", "--clear-session-key", "--clear-thread-id", "--clear-to"),
        *("--clear-tools", "--clear-trigger", "--failure-alert", "--no-failure-alert"),
        *("--failure-alert-exclude-skipped", "--failure-alert-include-skipped", "--due"),
    }
)
_CONNECTION_REFUSED = dict.fromkeys(_CONNECTION, _NO_CONNECTION)
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("--command", "--command-argv", "--command-cwd", "--command-env", "--command-input", "--script"),
            *("--script-timeout-seconds", "--script-tool-budget", "--no-output-timeout-seconds", "--output-max-bytes"),
        ),
        _NO_PROGRAM,
    ),
    **dict.fromkeys(
        (
            *("--on-exit", "--on-exit-cwd", "--stream-command", "--stream-cwd", "--stream-mode", "--stream-match"),
            *("--stream-batch-ms", "--stream-max-batch-bytes", "--trigger-script", "--trigger-once", "--clear-trigger"),
            *("--pacing-min", "--pacing-max", "--clear-pacing"),
        ),
        _ON_TIME,
    ),
    **dict.fromkeys(
        (
            *("--failure-alert", "--no-failure-alert", "--failure-alert-account-id", "--failure-alert-after"),
            *("--failure-alert-channel", "--failure-alert-cooldown", "--failure-alert-mode", "--failure-alert-to"),
            *("--failure-alert-exclude-skipped", "--failure-alert-include-skipped"),
        ),
        _ALERTS,
    ),
    **dict.fromkeys(
        ("--fallbacks", "--clear-fallbacks"),
        "The models that come next are the agent's: agents.entries.<id>.model.fallbacks in the file.",
    ),
    **dict.fromkeys(
        ("--tools", "--clear-tools"), "The tools are the agent's: agents.entries.<id>.tools in the file, and --agent."
    ),
    **dict.fromkeys(
        ("--light-context", "--no-light-context"), "The prompt is the agent's: --agent names one with a short prompt."
    ),
    **dict.fromkeys(
        ("--best-effort-deliver", "--no-best-effort-deliver"),
        "A post is tried for as long as it takes, and `oc-trio cron runs` says what became of it; leave it out.",
    ),
    **dict.fromkeys(("--display-name", "--clear-display-name"), "A job has one name for people: --name."),
    **dict.fromkeys(
        ("--session-key", "--clear-session-key"), "--session session:NAME is a conversation that remembers."
    ),
    **dict.fromkeys(("--thread-id", "--clear-thread-id"), "A job posts in the channel or to the person of --to."),
    **dict.fromkeys(("--clear-to", "--clear-channel"), "Every job has a place: --to names another one."),
    "--no-deliver": "Every job posts what comes of it: --to names the place, @you for one.",
    "--deliver": "A job posts what comes of it by itself: --announce, or nothing.",
    "--webhook": "A job posts to Mattermost: --to names the place.",
    "--system-event": _NO_MAIN,
    "--declaration-key": "A job is known by its id: `oc-trio cron edit ID` changes it.",
    "--stagger": "A job runs at the exact time; write another minute into --cron.",
    **dict.fromkeys(
        ("--offset", "--query", "--sort", "--delivery-status"),
        "--status and --limit choose runs, the newest first; --json is for other programs to look through.",
    ),
    "--due": "`oc-trio cron list` says when it is due; `oc-trio cron run` runs it at once.",
}


def _refuse(name: str, sentence: str) -> click.Option:
    def callback(_ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
        if value not in (None, False):
            raise click.UsageError(f"There is no {name} here. {sentence}")

    return click.Option(
        # Eager: else click would first complain of an argument that is missing.
        [name],
        is_flag=name in _FLAGS,
        hidden=True,
        expose_value=False,
        is_eager=True,
        callback=callback,
    )


def refuse_theirs(command: click.Command, *, jobs: bool = False, only: tuple[str, ...] = ()) -> click.Command:
    """The command, with OpenClaw's options that are not here: refused in words. `jobs` are those of add and edit."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    table = {**_CONNECTION_REFUSED, **(_REFUSED if jobs else {name: _REFUSED[name] for name in only})}
    command.params += [_refuse(name, sentence) for name, sentence in table.items() if name not in own]
    return command


def _channel(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    """Raises BadParameter for what is not Mattermost."""
    word = (value or "mattermost").strip().lower()
    if word == "last":
        raise click.BadParameter("there is no last place of the agent's: leave it out, --to names the place.")
    if word != "mattermost":
        raise click.BadParameter(
            f"oc-trio speaks to Mattermost only, not to {value!r}: write --channel mattermost, or leave it out."
        )


def _wake(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value not in (None, "now"):
        raise click.BadParameter(f"there is no heartbeat to wait for, so not {value!r}: leave it out, it runs at once.")


def job_options(function: F) -> F:
    """What a job is made of, for `add` and `edit`."""
    # From the last to the first, as decorators stand above each other.
    for option in (
        click.option("--wake", metavar="now", expose_value=False, callback=_wake, hidden=True),
        click.option("--announce", is_flag=True, expose_value=False, hidden=True),
        click.option("--exact", is_flag=True, expose_value=False, hidden=True),
        click.option("--channel", metavar="mattermost", expose_value=False, callback=_channel, hidden=True),
        click.option("--missed", type=click.Choice(["skip", "once"]), help="Runs that fell into downtime."),
        click.option("--keep-after-run", "keep", flag_value="keep", help="With --at: disable it afterwards."),
        click.option("--delete-after-run", "keep", flag_value="delete", help="With --at: remove it once delivered."),
        click.option("--timeout-seconds", metavar="N", type=click.IntRange(0, 86_400), help="Longest turn; 0: usual."),
        click.option("--session", metavar="isolated|session:NAME", help="Begin anew each time, or remember as NAME."),
        click.option("--thinking", metavar="LEVEL", help="Thinking level for --message."),
        click.option("--model", metavar="PROVIDER/MODEL", help="Model for --message."),
        click.option("--agent", metavar="ID", help="Agent for --message."),
        click.option("--account", metavar="ID", help="The account that posts."),
        click.option("--to", "--target", "target", metavar="TARGET", help="channel:<id>, #name, user:<id>, @username."),
        click.option("--text", metavar="TEXT", help="Post this as it stands; - reads standard input."),
        click.option("--message", "--prompt", "prompt", metavar="TEXT", help="Ask an agent this, post its answer."),
        click.option("--tz", metavar="ZONE", help="Time zone of --cron and of an --at without one; UTC."),
        click.option("--cron", metavar="EXPRESSION", help="Five fields, or @daily and its like."),
        click.option("--every", metavar="DURATION", help="Interval, such as 10m, 1h30m, 1d."),
        click.option("--at", metavar="TIME", help="Once: an ISO time, or 20m and 2h from now."),
        click.option("--description", metavar="TEXT", help="For people who read the list."),
        click.option("--name", metavar="NAME", help="What people call it; its id is made of this."),
    ):
        function = option(function)
    return function


def read_texts(options: dict[str, Any]) -> dict[str, Any]:
    """The options, with standard input in the place of a text that is `-`."""
    texts = {name: text_argument(options[name]) for name in ("prompt", "text") if options[name] is not None}
    return {**options, **texts}


def timing_of(options: Mapping[str, Any], now: int) -> "Timing | None":
    """The times that --at, --every, --cron and --tz name; None where none is given. Raises UsageError."""
    from oc_trio.config.cron_fields import is_timezone
    from oc_trio.core.cron_jobs import Expression, Interval, Once
    from oc_trio.core.cron_times import BadTime, interval, point_in_time

    given = [name for name in ("at", "every", "cron") if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"--{given[0]} and --{given[1]} are two schedules: give one.")
    zone_name = options["tz"] or ""
    if zone_name and not is_timezone(zone_name):
        raise click.BadParameter(f"{zone_name} is not a known time zone; such as Europe/Berlin", param_hint="--tz")
    if zone_name and given == ["every"]:
        raise click.UsageError("--tz is for --cron, and for an --at that names no zone.")
    try:
        if options["at"] is not None:
            return Once(point_in_time(options["at"], now, _zone(zone_name)))
        if options["every"] is not None:
            return Interval(interval(options["every"].strip().lower().removeprefix("every ")), now)
    except BadTime as problem:
        raise click.BadParameter(f"{options[given[0]]!r} {problem}.", param_hint=f"--{given[0]}") from None
    if options["cron"] is not None:
        return Expression(five_fields(options["cron"]), zone_name or "UTC")
    return None


def five_fields(expression: str) -> str:
    """OpenClaw takes a field of seconds in front. Raises BadParameter where it is another than 0."""
    words = expression.split()
    if len(words) == 6:
        if words[0].strip("0"):
            raise click.BadParameter(
                f"{expression!r} names seconds; write the five fields after them, or --every.", param_hint="--cron"
            )
        words = words[1:]
    return " ".join(words)


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def conversation_of(session: str | None) -> str | None:
    """The name in `--session session:NAME`, empty for `isolated`, None where it is not given. Raises BadParameter."""
    if session is None:
        return None
    kind, _, name = session.strip().partition(":")
    if kind == "isolated" and not name:
        return ""
    if kind == "session" and name.strip():
        return name.strip()
    raise click.BadParameter(
        f"{session!r}: there is isolated (each run begins anew) and session:NAME (a conversation that remembers); "
        "the main session and the current one are not here.",
        param_hint="--session",
    )


def job_of(options: Mapping[str, Any], timing: "Timing", *, disabled: bool) -> "ScheduledJob":
    """A job from the options of `add`; its id is what is wanted. Checked by `check_job`."""
    from oc_trio.core.cron_jobs import Missed, Once, ScheduledJob

    prompt, text = options["prompt"] or "", options["text"] or ""
    # A reminder that comes late is better than none; a digest that comes late is out of date.
    missed = options["missed"] or ("once" if isinstance(timing, Once) else "skip")
    return ScheduledJob(
        # The first words of what it says: enough for people to know it by.
        id=options["name"] or " ".join((prompt or text).split()[:4]) or "job",
        timing=timing,
        target=options["target"] or "",
        text=text,
        prompt=prompt,
        name=options["name"] or "",
        description=options["description"] or "",
        agent=options["agent"] or "",
        account=options["account"] or "",
        model=options["model"] or "",
        thinking=options["thinking"] or "",
        time_limit=options["timeout_seconds"] or None,
        conversation=conversation_of(options["session"]) or "",
        missed=Missed(missed),
        enabled=not disabled,
        keep=_keeps(options, timing),
    )


def changed_job(job: "ScheduledJob", options: Mapping[str, Any], timing: "Timing | None") -> "ScheduledJob":
    """The job with what the options of `edit` say; what they don't say stays."""
    from attrs import evolve

    from oc_trio.core.cron_jobs import Expression, Missed

    changes: dict[str, Any] = {
        name: options[name]
        for name in ("target", "name", "description", "agent", "account", "model", "thinking")
        if options[name] is not None
    }
    changes |= {name: "" for name in ("agent", "account", "model", "thinking") if options[f"clear_{name}"]}
    if options["prompt"] is not None:
        changes |= {"prompt": options["prompt"], "text": ""}
    if options["text"] is not None:
        changes |= {"text": options["text"], "prompt": ""}
    if options["timeout_seconds"] is not None:
        changes["time_limit"] = options["timeout_seconds"] or None
    conversation = conversation_of(options["session"])
    if conversation is not None:
        changes["conversation"] = conversation
    if options["missed"]:
        changes["missed"] = Missed(options["missed"])
    # Who moves a job from nine to ten means ten in its own time zone, not in UTC.
    if isinstance(timing, Expression) and isinstance(job.timing, Expression) and not options["tz"]:
        changes["timing"] = evolve(timing, timezone=job.timing.timezone)
    elif timing is not None:
        changes["timing"] = timing
    elif options["tz"]:
        if not isinstance(job.timing, Expression):
            raise click.UsageError("--tz is for a job with a cron expression, or with a new --at.")
        changes["timing"] = evolve(job.timing, timezone=options["tz"])
    if options["keep"]:
        changes["keep"] = _keeps(options, changes.get("timing", job.timing))
    if options["enabled"] is not None:
        changes["enabled"] = options["enabled"]
    return evolve(job, **changes)


def _keeps(options: Mapping[str, Any], timing: "Timing") -> bool:
    from oc_trio.core.cron_jobs import Once

    if options["keep"] and not isinstance(timing, Once):
        raise click.UsageError(f"--{options['keep']}-after-run is for a job with --at, which runs once.")
    return bool(options["keep"] == "keep")
