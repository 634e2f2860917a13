"""What several tests make their data with."""

import os
import random
import subprocess
import sys
from pathlib import Path

import torch

from uer.batch import Batch
from uer.builder import Planner, build
from uer.components import Embedding
from uer.model import Model

REPOSITORY = Path(__file__).parents[1]
SHARED_DATA = Path(os.environ.get("UER_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
_NOUNS = ["the", "cat", "dog", "bird", "house", "tree", "river", "stone"]
_OTHERS = ["sees", "hears", "likes", "fears", "small", "big", "red", "green", "and", "or", "not"]
_PLACES = ["here", "there", "now", "never", "always", "under", "over", "with", "from"]
WORDS = [*_NOUNS, *_OTHERS, *_PLACES]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TINY = {
    "emb_size": 16,
    "hidden_size": 16,
    "feedforward_size": 32,
    "heads_num": 2,
    "layers_num": 2,
    "max_seq_length": 64,
    "dropout": 0.0,
}
VLP = {
    **TINY,
    "embedding": ["region", {"seg": {"segments_num": 4}}],
    "text_embedding": ["word", "pos"],
    "embedding_dropout": 0.0,
    "region_size": 6,
    "region_hidden_size": 10,
    "box_size": 5,
    "encoder": "transformer",
    "mask": "causal_with_prefix",
    "target": "mlm",
}
MLM = {
    "data_processor": "mlm",
    "seq_length": 32,
    "embedding": ["word", "pos"],
    "encoder": "transformer",
    "target": "mlm",
    "tie_weights": True,
    **TINY,
}


def table(rows, *, label=True, seed=1):
    """A table of texts whose label is whether the cat comes first."""
    draw = random.Random(seed)
    lines = ["label\ttext_a" if label else "text_a"]
    for number in range(rows):
        text = " ".join([("dog", "cat")[number % 2], *draw.choices(WORDS[4:], k=5)])
        lines.append(f"{number % 2}\t{text}" if label else text)
    return "\n".join(lines) + "\n"


def python(*words, cwd, timeout=300):
    """Run Python in a process of its own, with the package of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


# ------------------------------------------------------------------------------ models, batches

VOCAB = 50
_ENCODER = {"encoder": "transformer", **TINY}
BERT = {
    **_ENCODER,
    "embedding": ["word", "pos", "seg"],
    "target": ["mlm", "sp"],
    "tie_weights": True,
}
MODELS = {
    "bert": BERT,
    "pre-norm": {**BERT, "layernorm_positioning": "pre", "remove_embedding_layernorm": True},
    "legacy": {**BERT, "layernorm": "legacy"},
    "albert": {**BERT, "emb_size": 8, "parameter_sharing": True},
    "classifier": {**BERT, "target": ["cls"], "pooling": "mean", "tie_weights": False},
    "gpt2": {
        **_ENCODER,
        "embedding": ["word", "pos"],
        "mask": "causal",
        "layernorm_positioning": "pre",
        "target": "lm",
        "tie_weights": True,
    },
    "llama": {
        **_ENCODER,
        "embedding": "word",
        "mask": "causal",
        "position": "rotary",
        "layernorm": "rms",
        "layernorm_positioning": "pre",
        "feed_forward": "gated",
        "hidden_act": "silu",
        "remove_transformer_bias": True,
        "target": "lm",
    },
    "prefix": {
        **_ENCODER,
        "embedding": ["word", "pos"],
        "mask": "causal_with_prefix",
        "target": "lm",
        "has_lmtarget_bias": True,
    },
}


def model_of(config, vocab_size=VOCAB, seed=0, **facts):
    """A model in evaluation mode; its weights are large enough for every detail to count."""
    planner = Planner(config)
    plan = planner.section(Model)
    planner.finish()
    torch.manual_seed(seed)
    model = plan.build({"vocab_size": vocab_size, "labels_num": 3, **facts}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def embedding(name, *, emb_size=16, **keys):
    """A small embedding in evaluation mode; keys and facts alike."""
    return build(Embedding, name, emb_size=emb_size, **keys).eval()


def documents_of(lengths, seed=0):
    """Random ids, one [length] tensor for each document."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(5, VOCAB, (length,), generator=draw) for length in lengths]


def batch_of(documents, rows, width=None):
    """Lay documents out.

    Args:
        documents: [length] ids of each.
        rows: numbers of the documents of each row; several: packed.
        width: tokens of a row, by default as many as the longest needs.

    Returns:
        The batch, with labels of all targets that follow from the documents alone (whatever row
        they stand in), and the flat places of the tokens, document after document.
    """
    sizes = [sum(len(documents[n]) for n in row) for row in rows]
    width = width or max(sizes)
    packed = any(len(row) > 1 for row in rows)
    place = []
    ids, segment, position = (torch.zeros(len(rows), width, dtype=torch.int64) for _ in range(3))
    document = torch.full((len(rows), width), -1)
    for number, row in enumerate(rows):
        column = 0
        for count, name in enumerate(row):
            size = len(documents[name])
            span = slice(column, column + size)
            ids[number, span] = documents[name]
            segment[number, span] = (torch.arange(size) >= size // 2).long()
            position[number, span] = torch.arange(size)
            document[number, span] = count
            place.append(number * width + torch.arange(column, column + size))
            column += size
    order = [documents[n] for row in rows for n in row]
    first, lengths = torch.stack([p[0] for p in place]), torch.tensor([len(d) for d in order])
    fields = {"src.ids": ids, "src.segment": segment, "src.length": lengths}
    fields["src.prefix"] = (position < 3) & (document >= 0)
    if (document < 0).any():
        fields["src.validity"] = document >= 0
    if packed:
        fields |= {"src.first": first, "src.document": document, "src.position": position}
    every = torch.cat([p[::2] for p in place])
    fields |= {"labels.mlm.index": every, "labels.mlm.value": torch.cat([d[::2] for d in order])}
    fields["labels.lm.index"] = torch.cat([p[:-1] for p in place])
    fields["labels.lm.value"] = torch.cat([d[1:] for d in order])
    fields["labels.sp.value"] = torch.stack([d.sum() % 2 for d in order])
    fields["labels.cls.value"] = torch.stack([d.sum() % 3 for d in order])
    return Batch(fields), torch.cat(place)
