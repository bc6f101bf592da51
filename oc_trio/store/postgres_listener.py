"""A connection to PostgreSQL that only listens for notices. psycopg comes with the extra `postgres`."""

from oc_trio.store.commit import store_error
from oc_trio.store.postgres import LEASES, PostgresDriver, is_pooled

# Behind it, for its error where psycopg is missing.
import psycopg  # isort: skip


class PostgresListener:
    """Made by `open_listener`; used by one thread at a time."""

    def __init__(self, driver: PostgresDriver, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        self._driver = driver
        self._connection = connection
        self.socket = connection.pgconn.socket

    def read(self) -> list[str]:
        """The topics that have come, without waiting. Raises StoreError."""
        try:
            self._connection.pgconn.consume_input()
        except psycopg.Error as error:
            raise store_error(self._driver, error) from error
        topics = []
        while (notice := self._connection.pgconn.notifies()) is not None:
            topics.append(notice.extra.decode())
        return topics

    def ping(self) -> list[str]:
        """As `read`, and raises StoreError also where the server does not answer for seconds."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise store_error(self._driver, error) from error
        return self.read()

    def close(self) -> None:
        self._connection.close()


def open_listener(url: str) -> PostgresListener | None:
    """None where a pooler is in between, which hands a session's notices to nobody. Raises StoreError."""
    driver = PostgresDriver(url, LEASES)
    try:
        connection = driver.connect()
        if is_pooled(connection):
            connection.close()
            return None
        row = connection.execute("SELECT current_schema()").fetchone()
        # LISTEN takes an identifier and no parameter.
        connection.execute(b'LISTEN "%s"' % channel(str(row[0] if row else "")).encode())
    except psycopg.Error as error:
        raise store_error(driver, error) from error
    return PostgresListener(driver, connection)


def channel(schema: str) -> str:
    """The name of the channel; one database may hold several journals, each in a schema."""
    return f"oc_trio {schema}".replace('"', '""')[:63]
