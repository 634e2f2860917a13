"""Runs a test's functions in several processes that meet over gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 300


def environment(rank=None, world=2, port=None, **more):
    """What a launcher would set, and where the package and the tests are."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world}
    own |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port}
    paths = [str(ROOT), str(HERE), str(HERE.parent)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        **({} if rank is None else {name: str(value) for name, value in own.items()}),
        **more,
    }


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def start(*words, world=2, cwd=None):
    """Start ``python words`` once per rank."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=environment(rank, world, port),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def finish(processes, patience=PATIENCE):
    """[(status, stdout, stderr)] by rank, once all have ended."""
    end = time.monotonic() + patience
    results = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=max(1, end - time.monotonic()))
            results.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return results


def run(*words, world=2, cwd=None, patience=PATIENCE):
    """Run ``python words`` on every rank; all have to end well. Their standard outputs."""
    results = finish(start(*words, world=world, cwd=cwd), patience)
    for rank, (status, out, err) in enumerate(results):
        assert status == 0, f"rank {rank} ended with {status}:\n{out[-2000:]}\n{err[-4000:]}"
    return [out for _, out, _ in results]
