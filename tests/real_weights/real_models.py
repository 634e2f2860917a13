"""What the tests of real weights share: opening a folder of others, and asking its own library."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from uer.batch import Batch
from uer.interop.pretrained import choose_config, load_pretrained
from uer.recipe import read_recipe


def open_model(folder, tokenizer, config=None):
    """Our model with the weights of a folder, and the report on its loading.

    Args:
        folder: of transformers.
        tokenizer: says what the model's embedding needs to know.
        config: by default what the commands choose that start from the folder.
    """
    recipe = read_recipe(config or choose_config(None, str(folder)))
    model = recipe.model.build({**tokenizer.facts(), **recipe.facts}).eval()
    return model, load_pretrained(model, folder)


def run_program(name, installed, *words):
    """Run a program of this folder with the packages installed in ``installed``.

    A process of its own: the packages must not be seen by the tests of the other folders.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / name, *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def padded(rows, pad):
    """One row for each list of ids."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), pad)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    return Batch({"src.ids": ids, "src.validity": real, "src.length": lengths})


def packed(rows):
    """One row that holds all lists of ids as its documents."""
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(
        {
            "src.ids": torch.tensor([[each for row in rows for each in row]]),
            "src.position": torch.cat([torch.arange(n) for n in lengths.tolist()])[None],
            "src.document": torch.arange(len(rows)).repeat_interleave(lengths)[None],
            "src.first": lengths.cumsum(0) - lengths,
            "src.length": lengths,
        }
    )
