"""`oc-trio status`: asks the running gateway for its status over its admin socket."""

import json
import sys
from typing import Any

import click

from oc_trio.cli.edge import harmless
from oc_trio.cli.exits import EX_CONFIG, EX_FAILED, EX_UNAVAILABLE
from oc_trio.cli.options import config_option


@click.command("status")
@config_option
@click.option("--account", metavar="ID", help="Only this account.")
@click.option("--deep", "--all", "deep", is_flag=True, help="Ask each account's Mattermost, too, with the bot's token.")
@click.option("--page", is_flag=True, help="Print where the status page is, and the token to log in there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(config_path: str | None, account: str | None, *, deep: bool, page: bool, as_json: bool) -> None:
    """Say whether the gateway is running and which accounts are live.

    Of a configuration that can't be used it says what is wrong, and asks the gateway that runs all the same.

    Where none runs on this machine, it says which do on others, if the journal is in PostgreSQL.

    Exit codes: 0 live, here or at another process, 1 running but not live (with --account: that account; with --deep
    also: a server refuses or can't be reached), 69 no gateway is running, 77 its socket is another user's, 78 the
    configuration is wrong and no gateway is running.
    """
    from oc_trio.cli.admin_socket import NoAnswerError, ask, find_socket
    from oc_trio.cli.channels import probe_fields, probe_lines, probed
    from oc_trio.cli.other_hosts import read_membership
    from oc_trio.cli.status_lines import is_served, membership_lines, status_lines
    from oc_trio.config.accounts import normalize_account_id

    socket, problems = find_socket(config_path)
    for problem in problems:
        click.echo(f"oc-trio: {problem}", err=True)
    try:
        status = ask(socket, "/page.json" if page else "/status.json")
    except NoAnswerError as refusal:
        click.echo(f"oc-trio: {refusal}", err=True)
        others = None
        if refusal.exit_code == EX_UNAVAILABLE and not problems and not page:
            others = read_membership(config_path)
        if as_json:
            # A script that reads the output finds the reason there as well.
            silent = {"phase": "no answer", "problem": str(refusal), "accounts": [], "configuration": list(problems)}
            click.echo(json.dumps({**silent, "membership": others}, indent=2, ensure_ascii=False))
        elif others is not None:
            click.echo(harmless("\n".join(membership_lines(others))))
        if others is not None:
            # 0 says that the bot is served, by whichever machine.
            sys.exit(0 if any(lease["holder"] for lease in others["leases"]) else EX_FAILED)
        # A gateway that does not run because of its configuration: that is the mistake to mend.
        sys.exit(EX_CONFIG if problems and refusal.exit_code == EX_UNAVAILABLE else refusal.exit_code)
    if page:
        click.echo(json.dumps(status, indent=2) if as_json else "\n".join(_page_lines(status, str(socket))))
        return
    status["configuration"] = list(problems)
    if account is not None:
        only = normalize_account_id(account)
        status["accounts"] = [one for one in status["accounts"] if one["account"] == only]
    # Without a usable configuration there is no address and no token to try.
    probes = probed(config_path, account) if deep and not problems else ()
    if as_json:
        probing = {"probes": [probe_fields(probe) for probe in probes]} if deep else {}
        click.echo(json.dumps({**status, **probing}, indent=2, ensure_ascii=False))
    else:
        click.echo(harmless("\n".join([*status_lines(status), *probe_lines(probes)])))
    is_live = any(is_served(one, status) for one in status["accounts"])
    is_well = is_live and status["phase"] == "serving" and not any(probe.problem for probe in probes)
    sys.exit(0 if is_well else EX_FAILED)


def _page_lines(found: dict[str, Any], socket: str) -> list[str]:
    """The address of the status page and its token, for a person."""
    urls = [address for address in found["addresses"] if address.startswith("http")]
    where = f"{urls[0]}/" if urls else f"on the socket {socket} only; set gateway.admin.port for a browser, and restart"
    return [f"status page: {where}", f"token: {found['token']}"]
