"""The console script ``uer`` and what the entry scripts share.

Commands are imported when they are called, so help and completion never wait for torch.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

from uer import __version__
from uer.cli import flags
from uer.cli.spawn import asked, spawn
from uer.errors import UserError, did_you_mean

# name on the command line → module, function, what it does
COMMANDS: dict[str, tuple[str, str, str]] = {
    "preprocess": ("uer.cli.preprocess", "preprocess", "tokenise a corpus into a data set"),
    "pretrain": ("uer.cli.pretrain", "pretrain", "pre-train a model on a data set"),
    "finetune": ("uer.cli.finetune", "finetune", "train a model for a task: uer finetune TASK"),
    "infer": ("uer.cli.infer", "infer", "predict with a trained model: uer infer TASK"),
    "retrieve": ("uer.cli.retrieve", "retrieve", "find images by texts and texts by images"),
    "zero-shot": ("uer.cli.zero_shot", "zero_shot", "classify images by names of classes"),
    "convert": ("uer.cli.convert", "convert", "turn a checkpoint into another kind"),
    "merge-lora": ("uer.cli.merge_lora", "merge_lora", "add LoRA's differences to their model"),
    "paint": ("uer.cli.paint", "paint", "paint images for texts, write texts for images"),
    "caption": ("uer.cli.caption", "caption", "write captions for the regions of images"),
    "codes": ("uer.cli.codes", "codes", "write the codes of images into their data set"),
    "vocab": ("uer.cli.vocab", "vocab", "build a vocabulary from a corpus"),
    "list": ("uer.cli.list", "list_parts", "name the parts a configuration can choose"),
    "explain": ("uer.cli.explain", "explain", "show a part's parameters: uer explain NAME"),
    "inspect": ("uer.cli.inspect", "inspect_model", "show an assembled model: uer inspect CONFIG"),
    "plan": ("uer.cli.plan", "plan", "say how a model fits into GPUs: uer plan CONFIG"),
    "doctor": ("uer.cli.doctor", "doctor", "say what works on this machine"),
    "zoo": ("uer.cli.zoo", "zoo", "list and fetch public models: uer zoo list"),
}
TRAINING = ("pretrain", "finetune")  # commands that several processes can share


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``uer COMMAND …``.

    Returns:
        The exit status: 0, or 2 after a user's mistake.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"uer {__version__}\n")
        return 0
    return run(words[0], words[1:], f"uer {words[0]}")


def run(command: str, argv: Sequence[str], prog: str) -> int:
    """Call a command and turn a user's mistake into one sentence on the error stream."""
    # Threads that wait for each other give way soon: where other processes share the cores, waiting
    # in a tight loop makes training several times slower. Read when torch is loaded, so set here.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if command not in COMMANDS:
            raise UserError(f"uer has no command '{command}'{did_you_mean(command, COMMANDS)}")
        if command in TRAINING and (processes := asked(argv)) is not None:
            return spawn(["-m", "uer", command, *argv], processes)
        module, function, _ = COMMANDS[command]
        flags.call(getattr(importlib.import_module(module), function), argv, prog)
    except UserError as error:
        rank = os.environ.get("RANK", "0")
        who = prog if rank == "0" else f"{prog}, rank {rank}"
        sys.stderr.write(f"{who}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{prog}: interrupted.\n")
        return 130
    finally:
        if (workers := sys.modules.get("uer.data.workers")) is not None:
            # The exit of Python waits until they have imported what they were about to import, and
            # taken torch down: seconds each, and minutes where the cores are busy.
            workers.end_all()
    return 0


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = "".join(f"  {name:<{width}}  {text}\n" for name, (_, _, text) in COMMANDS.items())
    return f"usage: uer COMMAND [flags]\n\n{lines}\n`uer COMMAND --help` lists a command's flags.\n"


def console() -> None:
    """Entry point of the console script."""
    sys.exit(main())
