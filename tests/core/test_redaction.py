import pytest

from oc_trio.core.redaction import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("curl https://example.org/a?b=1", "curl https://example.org/a?b=1", id="nothing secret"),
        pytest.param("Authorization: Bearer abcdefghijkl", "Authorization: ***", id="header"),
        pytest.param("-H 'x: Bearer abcdefghijkl'", "-H 'x: Bearer ***'", id="bearer"),
        pytest.param("API_KEY=abc make", "API_KEY=*** make", id="assignment"),
        pytest.param('{"password": "a b c", "x": 1}', '{"password": ***, "x": 1}', id="JSON"),
        pytest.param("login --password hunter2 now", "login --password *** now", id="flag"),
        pytest.param("https://bob:pw@example.org/", "https://***@example.org/", id="user in a URL"),
        pytest.param("use sk-abcdefghijklmnopqrst", "use ***", id="known shape"),
        pytest.param("a eyJhbGciOiJI.eyJzdWIiOiIx.c2ln b", "a *** b", id="JWT"),
        pytest.param("-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----", "***", id="PEM"),
        pytest.param("count the tokens in it", "count the tokens in it", id="a word that looks like one"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    """Credentials go, their names stay."""
    assert redact(text) == expected
