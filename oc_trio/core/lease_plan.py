"""Decides which leases a process acquires, hands over and gives back, so that accounts are spread evenly.

Every process decides for itself, by the same rule from the same rows, so that they agree without talking. The database
alone makes sure that an account has one holder: where two disagree, one of them gets it.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence, Set

from oc_trio.classes import frozen
from oc_trio.core.membership import LeaseRow, Membership, ProcessRow
from oc_trio.ids import AccountId


@frozen
class LeasePlan:
    """`acquire` and `release` have the epoch that the lease's row has now; what is handed over is drained first."""

    acquire: tuple[tuple[AccountId, int], ...] = ()
    hand_over: tuple[AccountId, ...] = ()
    release: tuple[tuple[AccountId, int], ...] = ()


def plan_leases(
    membership: Membership,
    me: str,
    *,
    running: Collection[AccountId] = (),
    settled: Set[str] | None = None,
    overdue: Collection[AccountId] = (),
) -> LeasePlan:
    """What the process `me` does next.

    `running` are the accounts that it serves, or whose tasks have not ended yet. Accounts move only to processes that
    are `settled`, None for all: one that starts again and again gets none away from others. Accounts that are `overdue`
    have been free for longer than whoever should have them needs to take them: anybody who can does.
    """
    mine = next((process for process in membership.processes if process.id == me), None)
    if mine is None:
        return LeasePlan()
    leases = {lease.account: lease for lease in membership.leases}
    assigned = assign(membership)
    free = [lease for name in mine.accounts if (lease := leases.get(name, _unheld(name))).is_free]
    wanted = () if mine.draining else tuple(free)
    return LeasePlan(
        acquire=tuple(
            (lease.account, lease.epoch)
            for lease in wanted
            if lease.account not in running and (assigned.get(lease.account) == me or lease.account in overdue)
        ),
        hand_over=tuple(
            name
            for name, process in assigned.items()
            # One that drains ends all its accounts anyway.
            if not mine.draining
            and process != me
            and _is_held_by(leases.get(name), me)
            and name in running
            and (settled is None or process in settled)
        ),
        # Left by a run of the account here that lost the lease by its own clock.
        release=tuple(
            (lease.account, lease.epoch)
            for lease in membership.leases
            if _is_held_by(lease, me) and lease.account not in running
        ),
    )


def assign(membership: Membership) -> dict[AccountId, str]:
    """Who should serve each account that anybody can serve, once everybody has done its part.

    Processes have as many accounts as each other, or one more, as far as they can serve them. Whoever serves an account
    keeps it where that allows it.
    """
    able = {process.id: process for process in membership.processes if process.is_alive and not process.draining}
    leases = {lease.account: lease for lease in membership.leases}
    accounts = sorted({name for process in able.values() for name in process.accounts})
    loads = {name: list[AccountId]() for name in able}
    assigned: dict[AccountId, str] = {}
    unassigned: list[AccountId] = []
    for account in accounts:
        lease = leases.get(account)
        holder = able.get(lease.holder) if lease is not None and not lease.is_free else None
        if holder is not None and account in holder.accounts:
            assigned[account] = holder.id
            loads[holder.id].append(account)
        else:
            unassigned.append(account)
    # Those first that fewer processes can serve: the others can still make up for them.
    for account in sorted(unassigned, key=lambda name: (_count(name, able.values()), name)):
        least = min((name for name in able if account in able[name].accounts), key=lambda name: len(loads[name]))
        assigned[account] = least
        loads[least].append(account)
    # Each path makes the loads more even, so this comes to an end.
    while path := _relieving_path(able, loads, leases):
        for account, giver, taker in path:
            loads[giver].remove(account)
            loads[taker].append(account)
            assigned[account] = taker
    return assigned


def _relieving_path(
    able: Mapping[str, ProcessRow], loads: Mapping[str, Sequence[AccountId]], leases: Mapping[AccountId, LeaseRow]
) -> tuple[tuple[AccountId, str, str], ...]:
    """The moves that take an account away from a process that has two more than another one, which gets one more.

    Of those in between, which can't serve the same accounts, each passes one on. Empty where nothing is gained.
    """
    for most in sorted(loads, key=lambda name: -len(loads[name])):
        came_from: dict[str, tuple[AccountId, str]] = {}
        reached, waiting = [most], deque([most])
        while waiting:
            giver = waiting.popleft()
            for account in sorted(loads[giver], key=lambda name: _reluctance(leases.get(name))):
                for taker in able:
                    if taker not in reached and account in able[taker].accounts:
                        came_from[taker] = (account, giver)
                        reached.append(taker)
                        waiting.append(taker)
        # By load, then by the number of moves.
        least = min(reached, key=lambda name: len(loads[name]))
        # A difference of one would only be turned around.
        if len(loads[most]) - len(loads[least]) >= 2:
            path = list[tuple[AccountId, str, str]]()
            while least != most:
                account, giver = came_from[least]
                path.append((account, giver, least))
                least = giver
            return tuple(path)
    return ()


def _reluctance(lease: LeaseRow | None) -> tuple[bool, int]:
    """Sorts accounts by what a move costs: one that nobody serves moves first, then the one that moved last."""
    return (False, 0) if lease is None or lease.is_free else (True, -lease.since)


def _count(account: AccountId, processes: Collection[ProcessRow]) -> int:
    return sum(account in process.accounts for process in processes)


def _is_held_by(lease: LeaseRow | None, process: str) -> bool:
    return lease is not None and not lease.is_free and lease.holder == process


def _unheld(account: AccountId) -> LeaseRow:
    return LeaseRow(account, "", 0, 0, 0)
