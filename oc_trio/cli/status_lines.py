"""Writes the status of a running gateway for people, one line per fact."""

from collections.abc import Iterator, Mapping
from typing import Any

from oc_trio.cli.journal import when


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """The lines for the object of `/status.json`; times are UTC."""
    since = when(status["startedAt"])[:16]
    lines = [f"oc_trio {status['version']}, process {status['pid']}: {status['phase']} since {since} UTC"]
    lines += [f"  public port: {line}" for line in _listener(status.get("listener", {}))]
    reload = status.get("reload") or {}
    if reload.get("problems"):
        lines.append(
            f"  reload refused {when(reload['at'])}, the old configuration holds: {'; '.join(reload['problems'])}"
        )
    for one in status["accounts"]:
        bot = f" as @{one['bot']}" if one["bot"] else ""
        lines.append(f"  {one['account']}: {one['state']}{bot}" + (f": {one['detail']}" if one["detail"] else ""))
        lines += [f"    {line}" for line in _account(one)]
    lines += [f"  {line}" for line in membership_lines(status.get("membership") or {})]
    lines += [f"  model {line}" for line in map(_model, status.get("models", ()))]
    lines += [f"  not asked for {pause['seconds']:g} s: {pause['what']}" for pause in status.get("pauses", ())]
    if status["stuck"]:
        lines.append(f"  stuck: {', '.join(status['stuck'])}")
    journal = status["journal"]
    if "error" in journal:
        lines.append(f"  journal: {journal['error']}")
    elif journal:
        lines.append(
            f"  journal: {journal['database']}, {journal['size'] / 1048576:.1f} MiB, "
            f"{journal['open_obligations']} answers owed, {journal['outbox_queued']} posts waiting, "
            f"{journal['pairing_pending']} people waiting to be let in"
        )
    return lines


def is_served(account: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether an account of the status is live, here or at another process of the journal."""
    if account["state"] != "standby":
        return bool(account["state"] == "live")
    membership = status.get("membership") or {}
    leases = () if membership.get("stale") else membership.get("leases", ())
    return any(lease["account"] == account["account"] and lease["holder"] for lease in leases)


def membership_lines(membership: Mapping[str, Any]) -> Iterator[str]:
    """The processes that share the journal, and who serves what since when."""
    if membership.get("problem"):
        yield f"the database does not renew our leases: {membership['problem']}"
    if membership.get("stale"):
        yield f"who serves what is not known: it was read last {membership['age']:g} s ago"
        return
    names = {each["id"]: f"{each['host']} (process {each['pid']})" for each in membership.get("processes", ())}
    for each in membership.get("processes", ()):
        marks = [
            *(["this one"] if each["me"] else []),
            *(["draining"] if each["draining"] else []),
            f"heard of {each['lag']:g} s ago" if each["alive"] else "gone",
        ]
        serves = ", ".join(each["serves"]) or "nothing"
        yield f"process {each['pid']} on {each['host']} ({', '.join(marks)}), {each['version']}: serves {serves}"
    for lease in membership.get("leases", ()):
        if lease["holder"]:
            holder = names.get(lease["holder"], "a process that has left")
            since = f"since {when(lease['since'])}, renewed {lease['lag']:g} s ago"
            yield f"lease of {lease['account']}: {holder}, {since}, epoch {lease['epoch']}"
        else:
            yield f"lease of {lease['account']}: nobody, epoch {lease['epoch']}"


def _listener(listener: Mapping[str, Any]) -> Iterator[str]:
    if listener.get("error"):
        yield f"not open: {listener['error']}"
    elif listener.get("url"):
        yield str(listener["url"])
    elif listener:
        yield "not open: nothing in the configuration is called back"


def _account(one: Mapping[str, Any]) -> Iterator[str]:
    """What is known of an account beside its state. An older gateway's status lacks some of it."""
    if one.get("since"):
        yield f"{one['state']} since {when(one['since'])}, last event {when(one['last_event_at'])}"
    catch_up = one.get("catch_up") or {}
    if catch_up.get("error"):
        yield f"catch-up failed: {catch_up['error']}"
    elif catch_up.get("at"):
        capped = f", {catch_up['capped']} channels capped" if catch_up["capped"] else ""
        read = f"read {_count(catch_up['posts'], 'post')} in {_count(catch_up['channels'], 'channel')}"
        yield f"caught up at {when(catch_up['at'])}: {read}{capped}"
    yield from _callbacks(one)
    for finding in one.get("second_gateway", ()):
        times = "once" if finding["count"] == 1 else f"{finding['count']} times, first {when(finding['first_at'])}"
        post = f", post {finding['post']}" if finding["post"] else ""
        yield f"second gateway: {finding['text']} (seen {times}, last {when(finding['last_at'])}{post})"
    yield from one.get("notes", ())


def _callbacks(one: Mapping[str, Any]) -> Iterator[str]:
    commands, callbacks = one.get("commands") or {}, one.get("callbacks") or {}
    if commands.get("native"):
        called = f"last called {when(callbacks['command_at'])}" if callbacks.get("command_at") else "not called yet"
        yield f"slash commands: {commands['registered']} of {commands['wanted']} registered, {called}"
        notes = " ".join(one.get("notes", ()))
        # What an account's notes say already is not said twice.
        yield from (f"slash commands: {text}" for text in commands["missing"] if text not in notes)
    if callbacks.get("click_url"):
        clicked = f"last click {when(callbacks['click_at'])}" if callbacks["click_at"] else "no click yet"
        yield f"clicks: {callbacks['click_url']}, {clicked}"
    if callbacks.get("refused_at"):
        yield f"last refused {when(callbacks['refused_at'])}: {callbacks['refused']}; the log has more"


def _model(model: Mapping[str, Any]) -> str:
    answered = f"last answered {when(model['answered_at'])}" if model["answered_at"] else "has not answered yet"
    error = f"{when(model['error_at'])}: {model['error']}" if model["error"] else ""
    if not model["is_well"]:
        return f"{model['model']}: failed {error} ({answered})"
    return f"{model['model']}: {answered}" + (f"; last error {error}" if error else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
