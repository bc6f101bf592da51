import pytest

from tests.store.cluster import do_without


def test_a_machine_without_postgres_skips_and_ci_fails() -> None:
    """A skip in CI would hide half of the store."""
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        do_without({})
    with pytest.raises(pytest.fail.Exception, match="CI=true"):
        do_without({"CI": "true"})
