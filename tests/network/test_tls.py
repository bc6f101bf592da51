"""The certificates are read once, and again where the environment names others."""

from pathlib import Path

import pytest
import trustme

from oc_trio.network.tls import client_tls


def test_the_certificates_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets the same context, until SSL_CERT_FILE names another file."""
    usual = client_tls()
    assert client_tls() is usual
    authority = trustme.CA(organization_name="of this test")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    [certificate] = client_tls().get_ca_certs()
    assert "of this test" in str(certificate["subject"])
