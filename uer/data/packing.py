"""Which instances share a row.

Texts are short and rows are not: padded batches of real corpora are half empty or worse. Best-fit
decreasing within a window of about a thousand instances fills rows to more than 99 %, and a window
is small enough to be planned again when a run resumes in the middle of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np

from uer.data.instances import Ints

Packing: TypeAlias = Literal["documents", "joined", "off"]

WINDOW = 1024


def plan_rows(lengths: Ints, capacity: int) -> list[Ints]:
    """Put instances into as few rows as a good heuristic finds.

    From the longest to the shortest, each goes where it leaves the least room.

    Args:
        lengths: [n] tokens of each instance, none above ``capacity``.
        capacity: tokens of a row.

    Returns:
        The instances of each row, ascending; rows by their first instance.
    """
    assert lengths.max(initial=0) <= capacity, "an instance is longer than a row"
    rooms: list[list[list[int]]] = [[] for _ in range(capacity + 1)]  # rows by room left
    open_rooms = 0  # bit r is set where rooms[r] holds a row
    rows: list[list[int]] = []
    decreasing = np.argsort(-lengths, kind="stable")
    for number, length in zip(decreasing.tolist(), lengths[decreasing].tolist(), strict=True):
        fitting = open_rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = rooms[room].pop()
            if not rooms[room]:
                open_rooms ^= 1 << room
        else:
            room, row = capacity, []
            rows.append(row)
        row.append(number)
        rooms[room - length].append(row)
        open_rooms |= 1 << (room - length)
    return [np.array(row, np.int64) for row in sorted(map(sorted, rows))]


def plan_sides(lengths: Mapping[str, Ints], capacities: Mapping[str, int]) -> list[Ints]:
    """As `plan_rows`, for instances of several sides that share the plan.

    From the largest share of a row to the smallest, each goes where the least is left over, counted
    in rows of every side.

    Args:
        lengths: by side: [n] tokens of each instance, none above the side's capacity.
        capacities: by side: tokens of a row.

    Returns:
        The instances of each row, ascending; rows by their first instance.
    """
    if len(lengths) == 1:
        ((name, only),) = lengths.items()
        return plan_rows(only, capacities[name])
    sizes = np.stack([lengths[name] for name in capacities], axis=1)
    budget = np.array(list(capacities.values()), np.int64)
    assert (sizes <= budget).all(), "an instance is longer than a row"
    room = np.empty((len(sizes), len(budget)), np.int64)
    rows: list[list[int]] = []
    for number in np.argsort(-(sizes / budget).max(axis=1), kind="stable").tolist():
        left = room[: len(rows)] - sizes[number]
        waste = np.where((left >= 0).all(axis=1), (left / budget).sum(axis=1), np.inf)
        best = int(waste.argmin()) if rows else 0
        if not rows or waste[best] == np.inf:
            best = len(rows)
            rows.append([])
            room[best] = budget
        rows[best].append(number)
        room[best] -= sizes[number]
    return [np.array(row, np.int64) for row in sorted(map(sorted, rows))]
