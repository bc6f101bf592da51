"""Accounts are spread evenly over the processes that can serve them, and stay where they are if that is even."""

import itertools
from collections.abc import Iterable, Mapping

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.lease_plan import LeasePlan, assign, plan_leases
from oc_trio.core.membership import LeaseRow, Membership, ProcessRow
from oc_trio.ids import AccountId

LEASE_MS = 7000


def names(text: str) -> tuple[AccountId, ...]:
    return tuple(AccountId(name) for name in text.split())


ALL = names("a b c d e f")


def process(
    name: str, accounts: Iterable[AccountId] = ALL, *, left_ms: int = LEASE_MS, draining: bool = False
) -> ProcessRow:
    return ProcessRow(name, "host", 1, "1", 0, "", draining, tuple(accounts), left_ms)


def held(account: str, holder: str, epoch: int = 1, *, left_ms: int = LEASE_MS, since: int = 0) -> LeaseRow:
    return LeaseRow(AccountId(account), holder, epoch, left_ms, since)


def leases(**holders: str) -> tuple[LeaseRow, ...]:
    """`p="a b"`: process p holds a and b."""
    rows = [held(account, holder) for holder, accounts in holders.items() for account in accounts.split()]
    return tuple(sorted(rows, key=lambda row: row.account))


P, Q, R = process("p"), process("q"), process("r")
EVEN = leases(p="a b c", q="d e f")


@pytest.mark.parametrize(
    ("membership", "plan"),
    [
        pytest.param(
            Membership((P,)), LeasePlan(acquire=tuple((name, 0) for name in ALL)), id="alone, it takes all of them"
        ),
        pytest.param(
            Membership((P, Q)),
            LeasePlan(acquire=((AccountId("a"), 0), (AccountId("c"), 0), (AccountId("e"), 0))),
            id="two that start together share",
        ),
        pytest.param(Membership((P, Q), EVEN), LeasePlan(), id="an even spread stays"),
        pytest.param(Membership((P, Q), leases(p="a b c d", q="e f")), LeasePlan(hand_over=names("a")), id="uneven"),
        pytest.param(Membership((P, Q, R), leases(p="a b", q="c d e f")), LeasePlan(), id="the third gets another's"),
        pytest.param(Membership((P, Q), leases(p="a b c d e")), LeasePlan(hand_over=names("a b")), id="one is free"),
        pytest.param(
            Membership((process("p", names("a b c")), Q), leases(p="a b c", q="d e f")), LeasePlan(), id="pinned, even"
        ),
        pytest.param(
            Membership((P, process("q", names("f"))), leases(p="a b c d e", q="f")), LeasePlan(), id="it can't help"
        ),
        pytest.param(
            Membership((P, process("q", left_ms=0)), EVEN), LeasePlan(), id="a dead one's leases are waited for"
        ),
        pytest.param(
            Membership((P, process("q", left_ms=0)), tuple(evolve(row, left_ms=row.holder == "p") for row in EVEN)),
            LeasePlan(acquire=tuple((name, 1) for name in names("d e f"))),
            id="and then taken",
        ),
        pytest.param(
            Membership((P, process("q", draining=True)), EVEN), LeasePlan(), id="of one that drains nothing is taken"
        ),
        pytest.param(
            Membership(
                (P, process("q", draining=True)), (*leases(p="a b c", q="d"), held("e", "", 4), held("f", "", 2))
            ),
            LeasePlan(acquire=((AccountId("e"), 4), (AccountId("f"), 2))),
            id="but what it has given back",
        ),
        pytest.param(Membership((process("p", draining=True), Q)), LeasePlan(), id="one that drains takes nothing"),
        pytest.param(
            Membership((process("p", draining=True), Q), EVEN), LeasePlan(), id="and ends its accounts by its own drain"
        ),
        pytest.param(Membership((Q, R)), LeasePlan(), id="one that is not in the list does nothing"),
        pytest.param(
            Membership((process("p", names("a")),), leases(p="a b")),
            LeasePlan(),
            id="what nobody can serve stays with its holder",
        ),
        pytest.param(
            Membership((process("p", names("a")), Q), leases(p="a b")),
            LeasePlan(hand_over=names("b")),
            id="what it can't serve any more goes to who can",
        ),
    ],
)
def test_what_a_process_does(membership: Membership, plan: LeasePlan) -> None:
    """The process p, which serves what it holds."""
    running = [lease.account for lease in membership.leases if lease.holder == "p"]
    assert plan_leases(membership, "p", running=running) == plan


def test_a_lease_that_the_holder_gave_up_itself_is_given_back_first() -> None:
    """It lost it by its own clock, before the database's: when its tasks have ended, nobody need wait for the rest."""
    membership = Membership((P,), leases(p="a b c d e f"))
    assert plan_leases(membership, "p", running=ALL) == LeasePlan()
    assert plan_leases(membership, "p", running=names("a b c d e")) == LeasePlan(release=((AccountId("f"), 1),))
    expired = Membership((P,), (held("f", "p", 3, left_ms=0), *leases(p="a b c d e")))
    assert plan_leases(expired, "p", running=names("a b c d e")) == LeasePlan(acquire=((AccountId("f"), 3),))
    # While its tasks end it can't be served again.
    assert plan_leases(expired, "p", running=ALL) == LeasePlan()


def test_one_that_has_just_come_gets_nothing_away() -> None:
    """It might be gone in a moment. What is free it gets at once."""
    membership = Membership((P, Q), leases(p="a b c d e"))
    assert plan_leases(membership, "p", running=names("a b c d e"), settled={"p"}) == LeasePlan()
    assert plan_leases(membership, "q", settled=set()).acquire == ((AccountId("f"), 0),)


def test_what_nobody_takes_is_taken_by_anybody() -> None:
    """The process that it is meant for may be the next one to die."""
    membership = Membership((P, Q), (*leases(p="a b c", q="d e"), held("f", "", 7)))
    assert plan_leases(membership, "p", running=names("a b c")).acquire == ()
    assert plan_leases(membership, "p", running=names("a b c"), overdue=names("f")).acquire == ((AccountId("f"), 7),)
    pinned = Membership((process("p", names("a b c")), Q), membership.leases)
    assert plan_leases(pinned, "p", running=names("a b c"), overdue=names("f")).acquire == ()


def test_the_one_that_moved_last_moves_next() -> None:
    """Conversations that are settled somewhere stay there."""
    rows = (held("a", "p", since=5), held("b", "p", since=9), held("c", "p", since=1), held("d", "p", since=2))
    accounts = names("a b c d")
    membership = Membership((process("p", accounts), process("q", accounts)), rows)
    assert plan_leases(membership, "p", running=accounts).hand_over == names("a b")


def test_pins_are_passed_on_along_a_chain() -> None:
    """r can serve only what q has, so p gives one to q, and q one to r."""
    p, q, r = process("p", names("a b")), process("q", names("b c d")), process("r", names("c d"))
    membership = Membership((p, q, r), leases(p="a b", q="c d"))
    assert plan_leases(membership, "q", running=names("c d")).hand_over == names("c")
    after = Membership((p, q, r), leases(p="a b", q="d", r="c"))
    assert plan_leases(after, "p", running=names("a b")) == LeasePlan()


memberships = st.builds(
    lambda pins, holders: Membership(
        tuple(
            process(f"p{at}", accounts, left_ms=left, draining=drain) for at, (accounts, left, drain) in enumerate(pins)
        ),
        tuple(held(account, f"p{at}", epoch, left_ms=left) for account, (at, epoch, left) in sorted(holders.items())),
    ),
    st.lists(
        st.tuples(st.sets(st.sampled_from(ALL)).map(sorted), st.sampled_from([LEASE_MS, 0]), st.booleans()), max_size=4
    ),
    st.dictionaries(
        st.sampled_from(ALL), st.tuples(st.integers(0, 4), st.integers(1, 3), st.sampled_from([LEASE_MS, 0]))
    ),
)


def cost(loads: Mapping[str, int]) -> int:
    return sum(load * load for load in loads.values())


def loads_of(assigned: Iterable[str]) -> dict[str, int]:
    loads: dict[str, int] = {}
    for name in assigned:
        loads[name] = loads.get(name, 0) + 1
    return loads


@given(memberships)
def test_no_other_spread_is_more_even(membership: Membership) -> None:
    """Every account that can be served is, by one that can; no way of doing it is fairer."""
    able = [row for row in membership.processes if row.is_alive and not row.draining]
    assigned = assign(membership)
    assert set(assigned) == {account for row in able for account in row.accounts}
    choices = [[row.id for row in able if account in row.accounts] for account in sorted(assigned)]
    for account, able_names in zip(sorted(assigned), choices):
        assert assigned[account] in able_names
    best = min((cost(loads_of(choice)) for choice in itertools.product(*choices)), default=0)
    assert cost(loads_of(assigned.values())) == best


@given(memberships)
def test_processes_agree(membership: Membership) -> None:
    """No two of them want the same account, and nobody wants one that is held or hands over what it does not hold."""
    wanted = list[AccountId]()
    for row in membership.processes:
        mine = {lease.account for lease in membership.leases if lease.holder == row.id and not lease.is_free}
        plan = plan_leases(membership, row.id, running=mine)
        wanted += [account for account, _ in plan.acquire]
        assert {account for account, _ in plan.acquire} <= set(row.accounts)
        assert set(plan.hand_over) <= mine
        assert plan.release == ()
        assert not (row.draining and plan.acquire)
    assert len(wanted) == len(set(wanted))
    assert not set(wanted) & {lease.account for lease in membership.leases if not lease.is_free}


@define
class Fleet:
    """A database and the processes at it, which act one after the other; `moves` counts takings-over."""

    processes: dict[str, ProcessRow] = field(factory=dict)
    leases: dict[AccountId, LeaseRow] = field(factory=dict)
    moves: int = 0
    now: int = 0

    @property
    def membership(self) -> Membership:
        return Membership(tuple(self.processes.values()), tuple(self.leases[name] for name in sorted(self.leases)))

    def act(self, name: str) -> bool:
        """One process does what its plan says; false where there was nothing to do."""
        self.now += 1
        running = [lease.account for lease in self.leases.values() if lease.holder == name]
        plan = plan_leases(self.membership, name, running=running)
        for account, epoch in plan.acquire:
            old = self.leases.get(account)
            assert (old.epoch if old else 0) == epoch
            assert old is None or old.is_free
            self.leases[account] = LeaseRow(account, name, epoch + 1, LEASE_MS, self.now)
            self.moves += 1
        leaving = running if self.processes[name].draining else plan.hand_over
        for account in leaving:
            self.leases[account] = evolve(self.leases[account], holder="")
        return bool(leaving) or plan != LeasePlan()

    def settle(self) -> int:
        """Everybody acts until nobody has anything to do; the number of accounts that moved."""
        before = self.moves
        for _ in range(30):
            acted = [self.act(name) for name, row in self.processes.items() if row.is_alive]
            if not any(acted):
                return self.moves - before
        raise AssertionError("it does not come to rest")

    def end(self, name: str) -> None:
        """It dies, and its leases expire."""
        self.processes[name] = evolve(self.processes[name], left_ms=0)
        for account, lease in self.leases.items():
            if lease.holder == name:
                self.leases[account] = evolve(lease, left_ms=0)

    def count(self, name: str) -> int:
        return sum(lease.holder == name and not lease.is_free for lease in self.leases.values())


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from(["join", "end", "drain"]), st.integers(0, 9)), max_size=12),
)
def test_whoever_comes_and_goes_the_spread_is_even_and_little_moves(
    accounts: int, changes: list[tuple[str, int]]
) -> None:
    """Each account has one holder, counts differ by one at most, and only as many move as have to."""
    all_accounts = tuple(AccountId(f"a{number:02}") for number in range(accounts))
    fleet = Fleet()
    for at, (change, which) in enumerate([("join", 0), *changes]):
        able = [name for name, row in fleet.processes.items() if row.is_alive and not row.draining]
        lost = 0
        if change == "join" or len(able) < 2:
            fleet.processes[f"p{at}"] = process(f"p{at}", all_accounts)
            lost = accounts // (len(able) + 1)
        else:
            name = able[which % len(able)]
            lost = fleet.count(name)
            if change == "end":
                fleet.end(name)
            else:
                fleet.processes[name] = evolve(fleet.processes[name], draining=True)
        moved = fleet.settle()
        able = [name for name, row in fleet.processes.items() if row.is_alive and not row.draining]
        counts = [fleet.count(name) for name in able]
        assert sum(counts) == accounts
        assert max(counts) - min(counts) <= 1
        assert moved <= (lost if at else accounts)
