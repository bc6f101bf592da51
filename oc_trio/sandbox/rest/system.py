"""Routes of the system: ping, client configuration, status."""

from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.request import SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute
from oc_trio.sandbox.settings import MAX_MESSAGE, VERSION


async def ping(_: RestCall) -> SandboxResponse:
    return SandboxResponse.json({"status": "OK", "AndroidLatestVersion": "", "IosLatestVersion": ""})


async def plain_websocket(_: RestCall) -> SandboxResponse:
    """A request for the websocket without an upgrade, as a proxy passes it on that knows no websockets."""
    code = "api.web_socket.connect.upgrade.app_error"
    raise ApiError(400, code, "URL Blocked because of CORS. Url: ")


async def client_config(call: RestCall) -> SandboxResponse:
    """Every value is a string; a caller without a token sees little."""
    settings = call.world.settings
    # Recorded: the site's URL needs no token (contract scenario config_client).
    config = {"Version": VERSION, "BuildNumber": "sandbox", "SiteName": "Mattermost", "SiteURL": settings.site_url}
    # What the gateway reads of the configuration, and only with a token (contract scenario config_client).
    if call.session is not None:
        config.update(
            MaxPostSize=str(MAX_MESSAGE),
            MaxFileSize=str(settings.max_file_size),
            EnablePostUsernameOverride="true",
            EnablePostIconOverride="true",
            EnableBotAccountCreation="true",
            EnableCommands=str(settings.enable_commands).lower(),
            EnableIncomingWebhooks="true",
            EnableUserAccessTokens="true",
            EnableFileAttachments="true",
        )
    return SandboxResponse.json(config)


ROUTES = (
    RestRoute("GET", "/system/ping", ping, public=True),
    RestRoute("GET", "/websocket", plain_websocket, public=True),
    RestRoute("GET", "/config/client", client_config, public=True),
)
