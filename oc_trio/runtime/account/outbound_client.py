"""Opens what a command or the gateway needs to post as an account: picks the account, builds its `OutboundClient`."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from attrs import evolve

from oc_trio.config.accounts import Account, normalize_account_id
from oc_trio.config.load import Loaded
from oc_trio.core.backoff import DirectRetryPolicy
from oc_trio.core.entities import User
from oc_trio.core.final_plan import ReplyRules
from oc_trio.core.mention_escape import clean
from oc_trio.core.post_marker import BY, COMMAND
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AccountId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import DirectChannels, open_direct_channels
from oc_trio.mattermost.directory import Directory
from oc_trio.mattermost.files import FileService
from oc_trio.mattermost.first_contact import fetch_bot
from oc_trio.mattermost.post_creator import PostCreator
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.network.tls import client_tls
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.delivery.attachments import MediaLoader
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.runtime.delivery.fetch import Fetcher
from oc_trio.runtime.delivery.targets import TargetResolver
from oc_trio.runtime.delivery.uploads import FileUploader
from oc_trio.runtime.handlers.callback_urls import is_called_back, plan_callbacks
from oc_trio.runtime.policies import net_policy, policies

_MIB = 1024 * 1024


def pick_account(loaded: Loaded, wanted: str | None) -> Account:
    """The account of that name, or the default one where none is named. Raises ConfigError; never takes another."""
    name = normalize_account_id(wanted) if wanted else loaded.default_account
    if name in loaded.accounts:
        return loaded.accounts[name]
    # Told with its own mistakes: "no such account" would send people looking for a typing error.
    if name in loaded.broken:
        raise ConfigError(*loaded.broken[name])
    known = ", ".join(loaded.accounts) or "none"
    raise ConfigError(Problem(f"account {name}", "there is no such account, or it is disabled", f"usable: {known}"))


def direct_retry(account: Account) -> DirectRetryPolicy:
    """`dmChannelRetry` as the scheduler's policy."""
    settings = account.dm_channel_retry
    return DirectRetryPolicy(settings.max_retries, settings.initial_delay, settings.max_delay, settings.attempt)


def outbound_client_of(
    account: Account,
    api: Api,
    user: User,
    direct: DirectChannels,
    sender: PostCreator,
    rules: ReplyRules,
    buttons: ButtonMaker,
    directory: Directory | None = None,
    *,
    dependencies: Dependencies,
) -> OutboundClient:
    """An account's outbound client over connections that are open already."""
    directory = directory or Directory(api)
    files, clock = FileService(api), dependencies.clock
    fetcher = Fetcher(dependencies.ssl_context, dependencies.fetch_transport)
    return OutboundClient(
        account=AccountId(account.id),
        user=user,
        api=api,
        directory=directory,
        targets=TargetResolver(directory, user),
        direct=direct,
        sender=sender,
        uploader=FileUploader(files, MediaLoader(int(account.media_max_mb * _MIB), files, fetcher), clock),
        rules=rules,
        buttons=buttons,
        clock=clock,
    )


@asynccontextmanager
async def open_outbound_client(
    loaded: Loaded, account: Account, dependencies: Dependencies
) -> AsyncGenerator[OutboundClient, None]:
    """An account's outbound client with connections of its own: no gateway has to run. Raises MattermostError."""
    token = account.bot_token.reveal
    transport = dependencies.transport(account.base_url, net_policy(account))
    async with open_server(account.base_url, dependencies.ssl_context, http_transport=transport) as server:
        # A person who writes @channel on a command line means it; a model does not.
        api = Api(Transport(server, token), clean)
        user = await fetch_bot(api)
        random = dependencies.clock.random.random
        async with open_direct_channels(api, user.id, retry=direct_retry(account), random=random) as direct:
            yield outbound_client_of(
                account,
                api,
                user,
                direct,
                PostCreator(api, user.id, random, {BY: COMMAND}),
                rules=evolve(policies(loaded.config, account).reply, allow_channel_mentions=True),
                buttons=ButtonMaker(
                    token,
                    plan_callbacks(loaded.config, account).click_url,
                    dependencies.clock,
                    has_listener=lambda: is_called_back(loaded.config, loaded.accounts),
                ),
                dependencies=dependencies,
            )


async def dependencies_for(*accounts: Account) -> Dependencies:
    """Dependencies with real sockets; the CA certificates are loaded only where an account uses TLS."""
    if all(account.base_url.startswith("http://") for account in accounts):
        return Dependencies(environ=os.environ)
    context = await trio.to_thread.run_sync(client_tls)
    return Dependencies(ssl_context=context, environ=os.environ)
