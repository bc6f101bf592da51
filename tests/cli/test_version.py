"""`oc-trio version`: what a bug report has to name."""

import json

import trio
from click.testing import CliRunner

import oc_trio
from oc_trio.cli.main import main


def test_the_release_and_what_it_runs_on() -> None:
    """For people in three lines, for programs as JSON; a package that isn't there is named, too."""
    facts = json.loads(CliRunner().invoke(main, ["version", "--json"]).output)
    assert facts["version"] == oc_trio.__version__
    assert facts["packages"]["trio"] == trio.__version__
    assert set(facts) == {"version", "python", "platform", "sqlite", "journalSchema", "packages"}
    text = CliRunner().invoke(main, ["version"]).output
    assert f"oc-trio {oc_trio.__version__}, Python {facts['python']}" in text
    assert f"journal schema {facts['journalSchema']}" in text
