"""Results in order, errors and deaths of workers."""

import multiprocessing
import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from support import REPOSITORY

from uer.data.workers import Pool, end_all, in_order
from uer.errors import DataError, UserError


def make(mode):
    return partial(work, mode)


def work(mode, item):
    if item == 3 and mode == "raise":
        raise DataError("a wrong line.", "c.txt", 7)
    if item == 3 and mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes):
    assert list(in_order(partial(make, "fine"), range(20), processes)) == [i * i for i in range(20)]


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_keep_file_and_line(processes):
    with pytest.raises(DataError, match=r"^c\.txt:7: a wrong line\.$"):
        list(in_order(partial(make, "raise"), range(20), processes))


def test_a_killed_worker_is_reported():
    with pytest.raises(UserError, match=r"a worker process died.*fewer processes"):
        list(in_order(partial(make, "die"), range(20), 2))


def test_few_results_wait():
    taken = []
    results = in_order(partial(make, "fine"), (taken.append(i) or i for i in range(100)), 2)
    next(results)
    assert len(taken) <= 2 * 2 + 1
    results.close()


def test_at_least_one_process():
    with pytest.raises(UserError, match="processes: 0"):
        list(in_order(partial(make, "fine"), [], 0))


ORPHANS = """
import multiprocessing, os, sys
from functools import partial
from uer.data.workers import in_order

def make():
    return pid

def pid(item):
    return os.getpid()

if __name__ == "__main__":
    results = in_order(make, range(1000), 2)
    print(next(results), flush=True)
    sys.stdin.read()
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    with parent:
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    deadline = time.monotonic() + 30
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def alive(pid):
    """Whether a process runs; one that ended but was not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


GROUP = """
import os, signal
from functools import partial
from uer.data.workers import Pool

def make():
    return work

def work(item):
    if item < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item

if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, lambda *about: None)
    print("ready", flush=True)
    with Pool(make, 2, way_out="-") as pool:
        print(sum(pool.map(range(1000))), flush=True)
        try:
            list(pool.map([1, 2, -1]))
        except Exception as error:
            print(error, flush=True)
"""


def test_signals_to_the_whole_group_are_the_parents_business(tmp_path):
    """From the workers' first moment on; the parent itself still ends those whose pool broke."""
    script = tmp_path / "script.py"
    script.write_text(GROUP)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    with parent:
        assert parent.stdout.readline() == "ready\n"
        while not select.select([parent.stdout], [], [], 0.02)[0]:
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                os.killpg(parent.pid, number)
        assert parent.stdout.readline() == f"{sum(i * i for i in range(1000))}\n"
        assert "a worker process died" in parent.stdout.readline()
    assert parent.returncode == 0


def test_all_workers_end_at_once_whatever_they_do():
    others = multiprocessing.active_children()
    pool = Pool(_make_sleeper, 2, way_out="")
    results = pool.map([0, 0, 60, 60, 60, 60])
    assert next(results) == 0
    started = [one for one in multiprocessing.active_children() if one not in others]
    assert len(started) >= 2
    end_all()
    end = time.monotonic() + 20  # the pool waits for them, too: who joins second knows nothing
    while any(process.is_alive() for process in started):
        assert time.monotonic() < end
        time.sleep(0.02)


def _make_sleeper():
    return _sleep


def _sleep(seconds):
    time.sleep(seconds)
    return seconds
