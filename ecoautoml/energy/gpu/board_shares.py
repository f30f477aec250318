"""Whose joules a board's are, when several processes compute on it.

The counter is the board's. Between two reads its joules go to the processes the driver lists, by
the utilisation of the multiprocessors the driver samples for each of them; where it has no such
samples, by their number. Shares are taken anew at every read and summed, so that windows add up
and the shares of all processes are one in every interval. What makes the shares doubtful is
stated: utilisation is sampled and misses fast switching (kepler, docs/developer/design/
architecture/gpu-power-monitoring.md), and two processes of equal utilisation need not draw equal
power.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ecoautoml.energy.base import CounterReading, Scope
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.gpu.counter import Count

BY_UTILISATION = 0.2
"""Relative uncertainty of a share by sampled utilisation: our judgement, nothing was published."""
BY_NUMBER = 1.0
"""Of a share by the number of processes: a factor of two."""
TRIFLE = 0.05
"""Part of all utilisation up to which processes the driver does not list as computing, a desktop
for example, are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who used a board between two reads.

    Attributes:
        pids: Processes the driver lists as computing; None: it does not tell.
        busy: Their utilisation of the multiprocessors, and that of processes it does not list, in
            any unit; empty when nobody did anything or the driver does not tell.
        unseen: Those of them whose numbers mean nothing here: a host's, seen from a container.
    """

    pids: frozenset[int] | None
    busy: Mapping[int, float] = field(default_factory=dict)
    unseen: frozenset[int] = frozenset()

    @property
    def everyone(self) -> frozenset[int]:
        """Return all processes that count."""
        listed = self.pids or frozenset()
        total = sum(self.busy.values())
        others = {pid for pid in self.busy if pid not in listed}
        if listed and sum(self.busy[pid] for pid in others) <= TRIFLE * total:
            return listed
        return listed | others

    def weight(self, pids: frozenset[int]) -> float:
        """Return the part of the board that some of `everyone` used, in [0, 1]."""
        everyone = self.everyone
        total = sum(self.busy.get(pid, 0.0) for pid in everyone)
        if total > 0:
            return sum(self.busy.get(pid, 0.0) for pid in pids) / total
        return len(pids) / len(everyone) if everyone else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Part of a board's joules.

    Attributes:
        part: In [0, 1]; None when it cannot be told.
        is_alone: Whether nobody else had a part.
        doubt: Relative uncertainty of the part.
    """

    part: float | None
    is_alone: bool = False
    doubt: float = 0.0


ALL = Share(part=1.0, is_alone=True)


def share_of(users: Users, mine: frozenset[int], scope: Scope) -> Share:
    """Return which part of a board's joules belongs to some processes.

    A board that nobody computes on belongs to whom it was given: its joules are the asker's. In a
    container the driver speaks of the host's process numbers, so that nobody finds himself: then
    one of the unknown numbers is taken for the asker.

    Args:
        users: Who used the board.
        mine: The processes in question (for ``OTHERS``: those that are not).
        scope: Whose part is asked for.
    """
    if scope is Scope.DEVICE:
        return ALL
    is_tree = scope is Scope.TREE
    if users.pids is None:
        return Share(part=1.0 if is_tree else None, doubt=BY_NUMBER)
    everyone = users.everyone
    if not everyone:
        return ALL if is_tree else Share(part=0.0)
    ours = everyone & mine
    # PROCESS asks for a process that may well not use the board: it is not taken for a stranger.
    strangers = users.unseen & everyone if not ours and scope is not Scope.PROCESS else frozenset()
    if len(strangers) > 1 and scope is Scope.OTHERS:
        return Share(part=None)
    if not ours and strangers:
        if len(strangers) > 1:
            part = users.weight(strangers) / len(strangers)
            return Share(part=part, doubt=BY_NUMBER)
        ours = strangers
    if everyone == ours and scope is not Scope.OTHERS:
        return ALL
    part = users.weight(everyone - ours if scope is Scope.OTHERS else ours)
    has_samples = any(users.busy.get(pid, 0.0) > 0 for pid in everyone)
    return Share(part=part, doubt=BY_UTILISATION if has_samples else BY_NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What belongs to one asker, summed since it first asked.

    Attributes:
        own_j: Its joules.
        own_s: Its part times seconds, which is its part of the idle power times seconds.
        doubt_j: Its joules times the relative uncertainty of the part.
        n_shared: Intervals in which it was not alone.
        n_unknown: Intervals in which its part could not be told.
    """

    own_j: float = 0.0
    own_s: float = 0.0
    doubt_j: float = 0.0
    n_shared: int = 0
    n_unknown: int = 0

    def plus(self, share: Share, energy_j: float, duration_s: float) -> Account:
        """Return the account after one more interval."""
        if share.part is None:
            return Account(
                own_j=self.own_j,
                own_s=self.own_s,
                doubt_j=self.doubt_j,
                n_shared=self.n_shared,
                n_unknown=self.n_unknown + 1,
            )
        own_j = share.part * energy_j
        return Account(
            own_j=self.own_j + own_j,
            own_s=self.own_s + share.part * duration_s,
            doubt_j=self.doubt_j + own_j * share.doubt,
            n_shared=self.n_shared + (not share.is_alone),
            n_unknown=self.n_unknown,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardReading(CounterReading):
    """A board's counter with what of it belongs to the asker; ``energy_j`` is the whole board's."""

    account: Account = Account()


class BoardShares:
    """Keeps the accounts of all that ask about one board.

    Args:
        tree: Which processes belong together.
        scope: Whose part every asker asks for.
    """

    def __init__(self, tree: ProcessTree, scope: Scope) -> None:
        self._tree = tree
        self._scope = scope
        self._accounts: dict[int | None, Account] = {}
        self._last: Count | None = None
        self._last_pids: frozenset[int] | None = frozenset()
        self._local: set[int] = set()

    def add(
        self,
        pid: int | None,
        count: Count,
        listed: frozenset[int] | None,
        busy: Mapping[int, float],
    ) -> tuple[Account, int | None]:
        """Close the interval since the last call and return one asker's account and its sharers.

        Args:
            pid: The asker: root of a process tree; None: the own process.
            count: The board's joules, known.
            listed: Processes the driver lists now; None: it does not tell.
            busy: Utilisation by process since the last call.
        """
        # Who is there at either end counts: what came and went in between shows in ``busy``.
        both = None if listed is None else listed | (self._last_pids or frozenset())
        users = self._users(both, busy)
        self._accounts.setdefault(pid, Account())
        mine = {root: self._mine(root, users) for root in self._accounts}
        last = self._last
        if last is not None and last.generation == count.generation:
            passed_j = (count.energy_j or 0.0) - (last.energy_j or 0.0)
            passed_s = count.time_s - last.time_s
            for root, account in self._accounts.items():
                share = share_of(users, mine[root], self._scope)
                self._accounts[root] = account.plus(share, max(passed_j, 0.0), passed_s)
        self._last, self._last_pids = count, listed
        now = self._users(listed, {})
        return self._accounts[pid], _sharers(now, mine[pid])

    def _users(self, pids: frozenset[int] | None, busy: Mapping[int, float]) -> Users:
        everyone = (pids or frozenset()) | set(busy)
        # A process that was seen here once is no host's, also after its end.
        self._local |= {one for one in everyone - self._local if self._tree.exists(one)}
        return Users(pids=pids, busy=busy, unseen=frozenset(everyone - self._local))

    def _mine(self, root: int | None, users: Users) -> frozenset[int]:
        if not users.everyone:
            return frozenset()
        itself = frozenset((os.getpid() if root is None else root,))
        if self._scope is Scope.PROCESS or users.everyone == itself:
            return itself  # looking for children takes milliseconds where many processes run
        return self._tree.pids(root)


def _sharers(users: Users, mine: frozenset[int]) -> int | None:
    """Return how many processes compute on the board, the asker included."""
    if users.pids is None:
        return None
    foreign = users.pids - mine
    is_own_among_unseen = bool(users.unseen & foreign) and len(foreign) == len(users.pids)
    return len(foreign) + (0 if is_own_among_unseen else 1)
