"""Error responses: an HTTP status and Mattermost's error id. All errors that a client sees are `ApiError`."""

from typing import Any

from oc_trio.errors import OcTrioError


class ApiError(OcTrioError):
    """A request is refused: `status` is the HTTP status, `code` Mattermost's error id; clients rely on both."""

    def __init__(self, status: int, code: str, message: str = "The request was refused.") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self, request_id: str) -> dict[str, Any]:
        return {
            "id": self.code,
            "message": str(self),
            "detailed_error": "",
            "request_id": request_id,
            "status_code": self.status,
        }


def forbidden() -> ApiError:
    # One id for a lack of rights and for a channel or post that is not there: which it is, is not told.
    return ApiError(403, "api.context.permissions.app_error", "You do not have the appropriate permissions.")


def unauthenticated() -> ApiError:
    # The same for a bad, an unknown, a revoked and no token (contract scenario auth_bad_token).
    return ApiError(401, "api.context.session_expired.app_error", "Invalid or expired session, please login again.")


def bad_body(name: str = "body") -> ApiError:
    return ApiError(400, "api.context.invalid_body_param.app_error", f"Invalid or missing {name} in request body.")


def bad_url(name: str) -> ApiError:
    return ApiError(400, "api.context.invalid_url_param.app_error", f"Invalid or missing {name} parameter in URL.")


def no_route() -> ApiError:
    return ApiError(404, "api.context.404.app_error", "Sorry, we could not find the page.")


def no_post() -> ApiError:
    return ApiError(404, "app.post.get.app_error", "Unable to get the post.")
