"""`oc-trio init`: asks for what a first start needs, looks it up, writes the configuration and examines it."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oc_trio.classes import frozen
from oc_trio.cli.exits import EX_CONFIG, EX_INTERRUPTED, EX_NOPERM, EX_UNAVAILABLE
from oc_trio.cli.init_options import InitOptions
from oc_trio.config.paths import current_folder, expanded, is_folder
from oc_trio.errors import ConfigError

if TYPE_CHECKING:
    from oc_trio.cli.init_model import ModelAnswer
    from oc_trio.cli.prompts import Prompts
    from oc_trio.cli.secret_files import SecretFiles
    from oc_trio.config.starter import Starter
    from oc_trio.runtime.operator.setup.bot_lookup import Person, TokenOwner
    from oc_trio.runtime.operator.setup.server_address import ServerAddress

_STRANGERS = ("pairing", "allowlist", "open", "disabled")
_CHANNELS = ("mention", "allowlist", "disabled")
_STRANGER_TEXTS = (
    "pairing: a stranger gets a code, and you let them in",
    "allowlist: only people whom you name",
    "open: everybody on the server",
    "disabled: nobody",
)
_CHANNEL_TEXTS = (
    "mention: whoever mentions the bot in a channel that it is in",
    "allowlist: only people whom you name",
    "disabled: nobody",
)
_TOKEN_FILE = "bot-token"  # noqa: S105 (a file's name)
_CONFIG_MODE = 0o644  # the service runs as a user of its own, and has to read it
_SECRET_MODE = 0o600


@click.command("init")
@click.option("--url", metavar="URL", envvar="MATTERMOST_URL", help="The server, as people open it.")
@click.option("--token-file", type=click.Path(path_type=Path), help="A file that holds the bot's token.")
@click.option("--token-stdin", is_flag=True, help="Read the bot's token from standard input.")
@click.option("--provider", metavar="NAME", help="A model provider of `oc-trio models list`, or a name of your own.")
@click.option("--model", metavar="NAME", help="The model; with the provider before it, or beside --provider.")
@click.option("--model-url", metavar="URL", help="The model server's address, such as http://127.0.0.1:11434/v1.")
@click.option("--api-key-file", type=click.Path(path_type=Path), help="A file that holds the provider's key.")
@click.option("--name", default="", metavar="TEXT", help="A name of the account, for log and status.")
@click.option("--strangers", type=click.Choice(_STRANGERS), help="Who may write direct messages.  [default: pairing]")
@click.option(
    "--channels",
    type=click.Choice(_CHANNELS),
    help="Who is answered in channels.  [default: mention; with --allow: allowlist]",
)
@click.option("--allow", "people", multiple=True, metavar="@NAME", help="Somebody who is let in; may be repeated.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("oc-trio.toml"),
    show_default=True,
    help="The configuration; secrets go into files of their own beside it.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--yes", is_flag=True, help="Ask nothing, and agree to what would be asked.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    url: str | None,
    token_file: Path | None,
    token_stdin: bool,
    provider: str | None,
    model: str | None,
    model_url: str | None,
    api_key_file: Path | None,
    name: str,
    strangers: str | None,
    channels: str | None,
    people: tuple[str, ...],
    output: Path,
    *,
    overwrite: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Write a first configuration: asks for the server, the bot's token and a model, looks them up, and examines all.

    What is given by options is not asked for; with --url, a token and --model nothing is asked. The token comes from
    --token-file, --token-stdin, MATTERMOST_BOT_TOKEN or a hidden prompt. Files that are there are replaced only with
    --overwrite.

    Exit codes: as `oc-trio doctor`, whose checks are the last step; before it 1 refused (nothing is written), 2 wrong
    usage, 69 no Mattermost answers there, 77 it refuses the token, 130 interrupted.
    """
    from oc_trio.cli.prompts import Prompts, SetupFailed, end_unanswered

    if token_stdin and token_file is not None:
        raise click.UsageError("Give either --token-file or --token-stdin.")
    wanted = "Give --url, --token-file and --model, or answer at a terminal."
    try:
        options = InitOptions(
            url=(url or "").strip(),
            token=_given_token(token_file, token_stdin=token_stdin),
            token_file=token_file,
            provider=(provider or "").strip().lower(),
            model=(model or "").strip(),
            model_url=(model_url or "").strip(),
            api_key_file=api_key_file,
            name=name.strip(),
            strangers=strangers or "",
            channels=channels or "",
            people=people,
            output=current_folder() / expanded(output),
            overwrite=overwrite,
        )
        missing = _missing(options)
        # With --token-stdin, standard input is the token, and no answer can come from it.
        is_asking = bool(missing) and not yes and not token_stdin
        if missing and not is_asking:
            raise click.UsageError(f"Missing: {', '.join(missing)}.")
        code = _Setup(options, Prompts(is_asking, yes, as_json)).run(as_json=as_json)
    except SetupFailed as problem:
        click.echo(f"oc-trio: {problem}", err=True)
        code = problem.exit_code
    except ConfigError as error:
        click.echo(f"oc-trio: {error}", err=True)
        code = EX_CONFIG
    except click.Abort as abort:
        end_unanswered(abort, wanted)
    sys.exit(code)


def _missing(options: InitOptions) -> list[str]:
    named = (
        ("--url", options.url),
        ("--token-file, --token-stdin or MATTERMOST_BOT_TOKEN", options.token),
        ("--model", options.model or options.model_url),
    )
    return [name for name, value in named if not value]


def _given_token(file: Path | None, *, token_stdin: bool) -> str:
    """The token of file, standard input or environment; "" where none is given. Raises SetupFailed."""
    from oc_trio.cli.edge import standard_input
    from oc_trio.cli.secret_files import checked_secret, read_secret_file

    if file is not None:
        return read_secret_file(file)
    if token_stdin:
        return checked_secret(standard_input(), "the token on standard input")
    given = os.environ.get("MATTERMOST_BOT_TOKEN", "")
    return checked_secret(given, "MATTERMOST_BOT_TOKEN") if given.strip() else ""


@frozen
class _Setup:
    """One run: looks up what was given, asks for the rest, and writes only when all of it is known."""

    options: InitOptions
    prompts: "Prompts"

    def run(self, *, as_json: bool) -> int:
        """The exit code. Raises SetupFailed before anything is written, Abort, UsageError."""
        from oc_trio.cli.init_model import find_model
        from oc_trio.cli.secret_files import SecretFiles

        self._check_output()
        address = self._server()
        token, bot = self._bot(address)
        self._announce(bot)
        files = SecretFiles(self.options.output.parent)
        token_path = files.place(_TOKEN_FILE, token, self.options.token_file)
        model = find_model(self.options, self.prompts, files)
        starter = self._starter(address, bot, token, token_path, model)
        self._write(files, starter)
        try:
            return self._examine(starter, bot, as_json=as_json)
        except click.Abort:
            click.echo(f"\noc-trio: interrupted; {self.options.output} is written", err=True)
            return EX_INTERRUPTED

    def _check_output(self) -> None:
        """Before anything is asked: where nothing can be written, nobody should have to answer."""
        from oc_trio.cli.prompts import SetupFailed

        output = self.options.output
        if not is_folder(output.parent):
            raise SetupFailed(f"there is no folder {output.parent}: mkdir -p {output.parent}")
        if not os.access(output.parent, os.W_OK | os.X_OK):
            raise SetupFailed(f"this user can't write into {output.parent}: name another place with --output")
        if is_folder(output):
            raise SetupFailed(f"{output} is a folder: name a file with --output")
        self._agree_to_replace(output)

    def _agree_to_replace(self, path: Path) -> None:
        if os.path.lexists(path) and not self.options.overwrite:
            from oc_trio.cli.prompts import SetupFailed

            refusal = f"{path} is there already: --overwrite replaces it, --output writes elsewhere"
            if not self.prompts.is_asking:
                raise SetupFailed(refusal)
            self.prompts.agree(f"{path} is there already. Replace it?", default=False, refusal=refusal)

    def _server(self) -> "ServerAddress":
        from oc_trio.cli.init_trio import in_trio
        from oc_trio.cli.prompts import SetupFailed
        from oc_trio.config.accounts import BadUrl
        from oc_trio.runtime.operator.setup.server_address import ServerAddress, find_server

        typed = self.options.url
        while True:
            typed = typed or self.prompts.ask("URL of your Mattermost")
            try:
                address = in_trio(find_server, typed, os.environ)
            except BadUrl as problem:
                address = ServerAddress(problem=f"{typed} {problem}", fix="such as https://chat.example.com")
            try:
                self._agree_to_address(address)
                break
            except SetupFailed as problem:
                if self.options.url or not self.prompts.is_asking:
                    raise
                self.prompts.say(str(problem))
            typed = ""
        for note in address.notes:
            self.prompts.say(note)
        return address

    def _agree_to_address(self, address: "ServerAddress") -> None:
        """Raises SetupFailed where there is no Mattermost, or where the one that answers is not wanted."""
        from oc_trio.cli.prompts import SetupFailed

        if not address.base_url:
            raise SetupFailed(f"{address.problem}: {address.fix}", EX_UNAVAILABLE)
        if address.consent:
            if not self.prompts.is_asking and not self.prompts.yes:
                answer = address.consent.rpartition(". ")[0]
                raise SetupFailed(f"{answer}: write --url {address.base_url} --yes", EX_UNAVAILABLE)
            self.prompts.agree(address.consent, default=True, refusal=f"{address.base_url} is not used")

    def _bot(self, address: "ServerAddress") -> "tuple[str, TokenOwner]":
        from oc_trio.cli.init_trio import in_trio
        from oc_trio.cli.prompts import SetupFailed
        from oc_trio.cli.secret_files import checked_secret
        from oc_trio.runtime.operator.setup.bot_lookup import LookupFailed, look_up_bot

        token = self.options.token
        while True:
            try:
                if not token:
                    typed = self.prompts.ask_secret(
                        "The bot's token, from Integrations > Bot Accounts (it is not shown)"
                    )
                    token = checked_secret(typed, "the token")
                bot = in_trio(look_up_bot, address, token, os.environ)
                self._agree_to_owner(bot)
                return token, bot
            except LookupFailed as problem:
                if self.options.token or not problem.is_auth:
                    raise SetupFailed(str(problem), EX_NOPERM if problem.is_auth else EX_UNAVAILABLE) from None
                self.prompts.say(str(problem))
            except SetupFailed as problem:
                if self.options.token:
                    raise
                self.prompts.say(str(problem))
            token = ""

    def _agree_to_owner(self, bot: "TokenOwner") -> None:
        """Raises SetupFailed where the token is a person's and is not to be used for that."""
        if not bot.is_bot:
            what = f"the token is a person's (@{bot.username}), not a bot account's: the gateway would write as them"
            fix = "make a bot at Integrations > Bot Accounts; --yes uses this one all the same"
            self.prompts.agree(f"{_capital(what)}. Use it all the same?", default=False, refusal=f"{what}: {fix}")

    def _announce(self, bot: "TokenOwner") -> None:
        where = (
            f"in {', '.join(bot.teams)}"
            if bot.teams
            else "in no team yet: `mmctl team users add TEAM " + (f"{bot.username}`")
        )
        name = f" ({bot.name})" if bot.name != bot.username else ""
        self.prompts.say(f"The token is @{bot.username}'s{name}, {where}")

    def _people(self, address: "ServerAddress", token: str, *, is_needed: bool) -> "tuple[Person, ...]":
        from oc_trio.cli.init_trio import in_trio
        from oc_trio.cli.prompts import SetupFailed
        from oc_trio.runtime.operator.setup.bot_lookup import LookupFailed, UnknownPerson, look_up_people

        names = self.options.people
        while True:
            if self.prompts.is_asking and not names:
                label = "People to let in at once, such as yourself: @name ..."
                typed = self.prompts.ask(label, default=None if is_needed else "")
                names = tuple(typed.replace(",", " ").split())
            try:
                return in_trio(look_up_people, address, token, names, os.environ) if names else ()
            except LookupFailed as problem:
                raise SetupFailed(str(problem), EX_UNAVAILABLE) from None
            except UnknownPerson as problem:
                if self.options.people or not self.prompts.is_asking:
                    raise SetupFailed(f"--allow: {problem}") from None
                self.prompts.say(str(problem))
                names = ()

    def _starter(
        self, address: "ServerAddress", bot: "TokenOwner", token: str, token_path: str, model: "ModelAnswer"
    ) -> "Starter":
        from oc_trio.config.starter import Starter
        from oc_trio.core.access import DmPolicy, GroupPolicy

        strangers, channels = self.options.strangers, self.options.channels
        if self.prompts.is_asking and not strangers:
            self.prompts.say("Who may write direct messages to the bot?")
            strangers = _STRANGERS[self.prompts.choose("Number", _STRANGER_TEXTS)]
        people = self._people(address, token, is_needed="allowlist" in (strangers, channels))
        if self.prompts.is_asking and not channels:
            self.prompts.say("Who is answered in channels?")
            # Without anybody to name an allowlist would be another word for nobody.
            offered = [name for name in _CHANNELS if people or name != "allowlist"]
            texts = [_CHANNEL_TEXTS[_CHANNELS.index(name)] for name in offered]
            channels = offered[self.prompts.choose("Number", texts, default=int(bool(people)))]
        strangers = strangers or "pairing"
        channels = channels or ("allowlist" if people else "mention")
        for option, value in (("--strangers", strangers), ("--channels", channels)):
            if value == "allowlist" and not people:
                raise click.UsageError(f"{option} allowlist needs people: --allow @NAME")
        return Starter(
            base_url=address.base_url,
            token_file=token_path,
            bot=bot.username,
            model=model.model,
            provider=model.provider,
            key_variables=model.key_variables,
            name=self.options.name,
            is_private=address.is_private,
            strangers=DmPolicy(strangers),
            channels=GroupPolicy.OPEN if channels == "mention" else GroupPolicy(channels),
            people=tuple((person.id, person.username) for person in people),
        )

    def _write(self, files: "SecretFiles", starter: "Starter") -> None:
        from oc_trio.agent.address import secrets_in
        from oc_trio.cli.new_files import NewFile, write_new_files
        from oc_trio.cli.prompts import SetupFailed
        from oc_trio.config.starter import starter_text

        new = [NewFile(path, f"{text}\n", _SECRET_MODE) for path, text in files.to_write.items()]
        for file in new:
            self._agree_to_replace(file.path)
        # Whoever is here has agreed to replace what was there.
        has_old = any(os.path.lexists(path) for path in (self.options.output, *files.to_write))
        is_secret = starter.provider is not None and secrets_in(starter.provider.base_url)
        # Last, so that a start never finds a configuration whose secrets are not there yet.
        new.append(NewFile(self.options.output, starter_text(starter), _SECRET_MODE if is_secret else _CONFIG_MODE))
        try:
            write_new_files(new, overwrite=has_old)
        except OSError as problem:
            raise SetupFailed(f"{problem.filename} can't be written: {problem.strerror}") from None
        for file in reversed(new):
            self.prompts.say(f"wrote {file.path}")
        if Path(starter.token_file).is_absolute():
            self.prompts.say(f"the token stays in {starter.token_file}")

    def _examine(self, starter: "Starter", bot: "TokenOwner", *, as_json: bool) -> int:
        from oc_trio.cli.doctor import examine, exit_code, row
        from oc_trio.cli.init_trio import in_trio
        from oc_trio.config.load import load
        from oc_trio.config.paths import find_config
        from oc_trio.core.access import DmPolicy
        from oc_trio.runtime.operator.doctor import Depth
        from oc_trio.telemetry.log import configure

        output = self.options.output
        try:
            loaded = load(str(output), os.environ, isolate=True)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"oc-trio: {problem}", err=True)
            return EX_CONFIG
        configure(level="error")
        findings = in_trio(examine, loaded, Depth(), as_json)
        try:
            is_found = find_config(None, os.environ, current_folder()) == output
        except ConfigError:
            is_found = False
        option = "" if is_found else f" --config {output}"
        code = exit_code(findings)
        following = f"oc-trio {'doctor' if code == 1 else 'run'}{option}"
        if as_json:
            facts = {
                "config": str(output),
                "tokenFile": str(output.parent / starter.token_file),
                "baseUrl": starter.base_url,
                "bot": bot.username,
                "botId": bot.id,
                "isBot": bot.is_bot,
                "teams": bot.teams,
                "model": starter.model,
                "findings": [row(one) for one in findings],
                "next": following,
            }
            click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
            return code
        self.prompts.say()
        if code == 1:
            self.prompts.say(f"Mend what failed, then examine it again: {following}")
        else:
            self.prompts.say(f"Next: {following}")
            self.prompts.say(f"Then write to @{bot.username} in Mattermost, or `/invite @{bot.username}` in a channel.")
            if starter.strangers is DmPolicy.PAIRING and not starter.people:
                self.prompts.say("Who writes gets a code: `oc-trio pairing approve mattermost CODE` lets them in.")
            self.prompts.say(f"To keep it running: oc-trio systemd install --config {output} --now")
        return code


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
