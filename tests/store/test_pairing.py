from oc_trio.ids import AccountId, UserId
from oc_trio.store.pairing import Requested, RequestState
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, ANNA, BERT, OTHER

HOUR = 3_600_000


async def ask(store: Store, user: UserId, code: str, at: int = 0, account: AccountId = ACCOUNT) -> Requested:
    return await store.pairing.request(account, user, f"@{user}", code, at, HOUR, 3)


async def test_a_request_has_one_code_until_it_expires(store: Store) -> None:
    """Asking again gives the first code; after an hour there is a new one."""
    assert await ask(store, ANNA, "AAAA2222") == Requested(RequestState.CREATED, "AAAA2222")
    assert await ask(store, ANNA, "BBBB3333", at=5) == Requested(RequestState.PENDING, "AAAA2222")
    assert await ask(store, ANNA, "CCCC4444", at=HOUR) == Requested(RequestState.CREATED, "CCCC4444")


async def test_only_so_many_wait(store: Store) -> None:
    """The fourth stranger of an account is turned away until a request has expired."""
    for number in range(3):
        await ask(store, UserId(f"u{number}"), f"CODE{number}", at=number)

    assert await ask(store, ANNA, "AAAA2222", at=9) == Requested(RequestState.FULL, "")
    other = await ask(store, ANNA, "AAAA2222", at=9, account=OTHER)
    assert other.state is RequestState.CREATED
    assert (await ask(store, ANNA, "AAAA2222", at=HOUR)).state is RequestState.CREATED


async def test_approval_lets_in_and_spends_the_code(store: Store) -> None:
    """An approved user is no longer pending, and the code works once."""
    await ask(store, ANNA, "AAAA2222")
    assert [row.code for row in await store.pairing.pending(None, 5)] == ["AAAA2222"]

    approved = await store.pairing.approve(ACCOUNT, "AAAA2222", 10)

    assert approved is not None
    assert (approved.user_id, approved.name, approved.approved_at) == (ANNA, "@anna", 10)
    assert await store.pairing.approved(ACCOUNT) == {ANNA}
    assert await store.pairing.approved(OTHER) == frozenset()
    assert await store.pairing.pending(ACCOUNT, 11) == ()
    assert await store.pairing.approve(None, "AAAA2222", 12) is None
    assert (await ask(store, ANNA, "BBBB3333", at=13)).state is RequestState.APPROVED


async def test_what_is_not_pending_is_not_approved(store: Store) -> None:
    """An unknown code, another account's, an expired one and an ambiguous one let nobody in."""
    await ask(store, ANNA, "AAAA2222")
    assert await store.pairing.approve(ACCOUNT, "ZZZZ9999", 1) is None
    assert await store.pairing.approve(OTHER, "AAAA2222", 1) is None
    assert await store.pairing.approve(ACCOUNT, "", 1) is None
    assert await store.pairing.approve(ACCOUNT, "AAAA2222", HOUR) is None

    await ask(store, BERT, "AAAA2222", account=OTHER)
    assert await store.pairing.approve(None, "AAAA2222", 1) is None
    assert await store.pairing.approve(OTHER, "AAAA2222", 1) is not None


async def test_rejecting_and_revoking(store: Store) -> None:
    """A rejected request can be made anew; a revoked user has to ask again."""
    await ask(store, ANNA, "AAAA2222")
    rejected = await store.pairing.reject(None, "AAAA2222")
    assert rejected is not None
    assert rejected.user_id == ANNA
    assert await store.pairing.reject(None, "AAAA2222") is None

    await ask(store, ANNA, "BBBB3333")
    assert not await store.pairing.revoke(ACCOUNT, ANNA)
    await store.pairing.approve(None, "BBBB3333", 1)
    assert await store.pairing.revoke(ACCOUNT, ANNA)
    assert await store.pairing.approved(ACCOUNT) == frozenset()


async def test_a_code_is_not_printed(store: Store) -> None:
    """A code that gets into a log lets its reader approve a stranger."""
    requested = await ask(store, ANNA, "AAAA2222")
    [row] = await store.pairing.pending(ACCOUNT, 1)

    assert "AAAA2222" not in repr(requested) + repr(row)


async def test_a_grant_needs_no_code(store: Store) -> None:
    """Who is let in without a code, having asked or not, is approved once; a code given before is spent."""
    await ask(store, ANNA, "AAAA2222")
    assert await store.pairing.grant(ACCOUNT, ANNA, "anna", 10)
    assert await store.pairing.grant(ACCOUNT, BERT, "bert", 11)
    assert not await store.pairing.grant(ACCOUNT, BERT, "bert", 12)
    assert await store.pairing.approved(ACCOUNT) == {ANNA, BERT}
    assert await store.pairing.approved(OTHER) == set()
    assert await store.pairing.approve(ACCOUNT, "AAAA2222", 13) is None
    assert [row.approved_at for row in await store.pairing.approvals(ACCOUNT)] == [11, 10]
