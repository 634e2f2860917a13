import pytest
import torch

from uer.cli.spawn import Asked, asked
from uer.errors import ConfigError, UserError
from uer.training import launch as launch_module
from uer.training.launch import Launch, Ranks, device_of, place_of, read_ranks
from uer.training.processes import Processes, join

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"world_size": 0}, "--world_size 0: must be at least 1"),
        ({"stuck_after": 0.0}, "--stuck_after 0: must be a positive number"),
        ({"master_ip": "localhost"}, "--master_ip localhost: write tcp://<host>:<port>"),
        ({"deepspeed": True, "engine": "fsdp"}, "--deepspeed and --engine fsdp: choose one"),
        ({"enable_zero3": True}, "go with --deepspeed"),
        ({"deepspeed_config": "x.json"}, "go with --deepspeed"),
        ({"world_size": 2, "gpu_ranks": [0, 0]}, "a rank is named twice"),
        ({"world_size": 2, "gpu_ranks": [1, 2]}, "ranks of --world_size 2 go from 0 to 1"),
        ({"gpu_ranks": [0, 1]}, "2 ranks need --world_size 2"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags, words):
    with pytest.raises(ConfigError, match=words):
        Launch(**flags)


@pytest.mark.parametrize(
    "flags, world, engine",
    [
        ({}, 1, "single"),
        ({}, 2, "ddp"),
        ({"engine": "fsdp"}, 1, "fsdp"),
        ({"deepspeed": True}, 1, "deepspeed"),
    ],
)
def test_the_engine_is_chosen_by_the_world_unless_named(flags, world, engine):
    assert Launch(**flags).chosen(world) == engine


def test_ranks_come_from_the_launcher():
    there = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
    assert read_ranks(Launch(), there) == Ranks(3, 1, 4)
    assert read_ranks(Launch(world_size=4), there) == Ranks(3, 1, 4)
    assert read_ranks(Launch(), {}) == Ranks(0, 0, 1)
    assert read_ranks(Launch(gpu_ranks=[2]), {}) == Ranks(0, 2, 1)  # one process on GPU 2


@pytest.mark.parametrize(
    "environment, flags, words",
    [
        ({"RANK": "0", "WORLD_SIZE": "4"}, {"world_size": 2}, "contradicts the launcher.* 4 "),
        ({"RANK": "4", "WORLD_SIZE": "4"}, {}, "RANK 4 is not below WORLD_SIZE 4"),
        ({"RANK": "one", "WORLD_SIZE": "4"}, {}, "must be numbers"),
        ({}, {"world_size": 2}, "the processes were not started"),
    ],
)
def test_a_launcher_that_says_something_else_is_told(environment, flags, words):
    with pytest.raises(UserError, match=words):
        read_ranks(Launch(**flags), environment)


@pytest.mark.parametrize(
    "name, local, world, gpus, device",
    [
        ("auto", 1, 2, 0, "auto"),
        ("auto", 1, 2, 2, "cuda:1"),
        ("cuda", 0, 2, 2, "cuda:0"),
        ("cpu", 1, 2, 2, "cpu"),
        ("auto", 0, 1, 2, "auto"),
        ("auto", 2, 1, 4, "cuda:2"),
        ("cuda:1", 0, 1, 2, "cuda:1"),
    ],
)
def test_every_process_takes_the_device_of_its_number(
    monkeypatch, name, local, world, gpus, device
):
    monkeypatch.setattr(launch_module.torch.cuda, "device_count", lambda: gpus)
    assert device_of(name, Ranks(local, local, world)) == device


@pytest.mark.parametrize(
    "name, local, words",
    [
        ("cuda:0", 0, "--device cuda:0 puts 2 processes on one device"),
        ("auto", 1, "process 1 of this machine finds 1 GPUs"),
    ],
)
def test_two_processes_never_share_a_device(monkeypatch, name, local, words):
    monkeypatch.setattr(launch_module.torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=words):
        device_of(name, Ranks(local, local, 2))


def test_one_engine_is_for_one_process():
    words = "--engine single trains in one process, 2 were started"
    with pytest.raises(UserError, match=words):
        place_of(Launch(engine="single"), Ranks(0, 0, 2), CPU, alone=True)


def test_nccl_needs_gpus_and_gloo_goes_everywhere():
    with pytest.raises(UserError, match="--backend nccl needs GPUs, the device is cpu"):
        place_of(Launch(backend="nccl"), Ranks(0, 0, 2), CPU, alone=False)
    gpu = torch.device("cuda", 1)
    assert place_of(Launch(), Ranks(1, 1, 2), gpu, alone=False).backend == "cpu:gloo,cuda:nccl"
    place = place_of(Launch(backend="gloo"), Ranks(1, 1, 2), gpu, alone=False)
    assert place.backend == "gloo" and place.group


def test_alone_there_is_nobody_to_meet():
    processes = join(place_of(Launch(), Ranks(0, 0, 1), CPU, alone=True))
    assert isinstance(processes, Processes) and processes.is_main
    values = torch.ones(3)
    assert processes.sum(values) is values and processes.gather("x") == ["x"]
    assert processes.any(True) and not processes.any(False)


def test_work_of_the_main_process_that_fails_raises_its_own_words():
    def fail():
        raise UserError("no place left.")

    with pytest.raises(UserError, match="no place left"):
        Processes().on_main(fail)


@pytest.mark.parametrize(
    "words, expected",
    [
        ("--total_steps 5", None),
        ("--world_size 1 --gpu_ranks 3", None),
        ("--world_size 2", Asked(2, [0, 1], "localhost", 12345)),
        (
            "--world_size 4 --gpu_ranks 2 3 --master_ip tcp://10.0.0.1:999 --total_steps 5",
            Asked(4, [2, 3], "10.0.0.1", 999),
        ),
        ("--world_size two", None),
        ("--world_size 2 --gpu_ranks 0 5", None),
        ("--world_size 2 --gpu_ranks 0 0", None),
    ],
)
def test_the_predecessors_flags_say_what_to_start(words, expected):
    assert asked(words.split(), {}) == expected


def test_a_process_that_a_launcher_started_starts_no_others():
    assert asked(["--world_size", "2"], {"RANK": "0"}) is None
