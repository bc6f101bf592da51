"""Routes of the system: ping, client configuration, status."""

from oc_trio.sandbox.request import SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute
from oc_trio.sandbox.settings import MAX_MESSAGE, VERSION


async def ping(_: RestCall) -> SandboxResponse:
    return SandboxResponse.json({"status": "OK", "AndroidLatestVersion": "", "IosLatestVersion": ""})


async def client_config(call: RestCall) -> SandboxResponse:
    """Every value is a string; a caller without a token sees little."""
    settings = call.world.settings
    config = {"Version": VERSION, "BuildNumber": "sandbox", "SiteName": "Mattermost", "SiteURL": settings.site_url}
    if call.session is not None:
        config.update(
            MaxPostSize=str(MAX_MESSAGE),
            MaxFileSize=str(settings.max_file_size),
            EnablePostUsernameOverride="true",
            EnablePostIconOverride="true",
            EnableBotAccountCreation="true",
            EnableCommands="true",
            EnableIncomingWebhooks="true",
            EnableUserAccessTokens="true",
            EnableFileAttachments="true",
        )
    return SandboxResponse.json(config)


ROUTES = (
    RestRoute("GET", "/system/ping", ping, public=True),
    RestRoute("GET", "/config/client", client_config, public=True),
)
