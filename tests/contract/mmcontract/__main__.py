"""Runs the kit: `python -m tests.contract.mmcontract --base-url URL --check`, in the repository's root."""

import argparse
import asyncio
import os
import sys

from tests.contract.mmcontract.goldens import GOLDENS
from tests.contract.mmcontract.runner import Kit
from tests.contract.mmcontract.scenario import SCENARIOS, SLOW
from tests.contract.mmcontract.scenarios import system as system
from tests.contract.mmcontract.values import PASSWORD


def main() -> int:
    """Reads the command line and runs; 0 when every scenario passed, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contract.mmcontract",
        description="Mattermost API conformance kit (bot gateway's view)",
    )
    parser.add_argument("--base-url", metavar="URL", help="the server, e.g. http://127.0.0.1:8065")
    parser.add_argument("--admin-user", default=os.environ.get("MM_ADMIN_USER", "admin"))
    parser.add_argument("--admin-password", default=os.environ.get("MM_ADMIN_PASSWORD", PASSWORD))
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="scenario name or glob; may be repeated"
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="NAME",
        help="scenario or glob to leave out; repeatable",
    )
    parser.add_argument("--slow", action="store_true", help="also what waits for timeouts of up to 30 s")
    parser.add_argument("--hook-host", default="127.0.0.1", help="where the server reaches callbacks")
    parser.add_argument("--wire", metavar="DIR", help="write every exchange in full there, to read")
    parser.add_argument("--list", action="store_true", help="list the scenarios and what they pin")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the steps")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--record", metavar="DIR", help="write goldens there")
    mode.add_argument(
        "--check",
        metavar="DIR",
        nargs="?",
        const=str(GOLDENS),
        help="compare with the goldens of a folder; without DIR with the kit's own",
    )
    args = parser.parse_args()
    if args.list:
        for n, fn in SCENARIOS.items():
            mark = " (slow)" if n in SLOW else ""
            print(f"{n}{mark}: {' '.join((fn.__doc__ or '').split())}")
        return 0
    if not args.base_url:
        parser.error("--base-url is needed")
    return asyncio.run(Kit(args).run())


if __name__ == "__main__":
    sys.exit(main())
