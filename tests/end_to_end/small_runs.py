"""Every objective as a tiny model on its sample corpus, trained step by step in this process."""

import torch
from support import TINY
from test_processors import CASES, CORPORA

from uer.batch import Batch
from uer.cli.tokenizer import side_facts
from uer.config import load_config
from uer.data.preprocess import preprocess
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.processors.base import processors
from uer.recipe import read_recipe
from uer.tokenizers.space import SpaceTokenizer

_GENERATOR = {"hidden_size": 16, "feedforward_size": 32, "heads_num": 2, "layers_num": 1}
_SHIPPED = {  # the shipped configuration, made small
    "electra": ("electra/small", "documents.txt", {}),
    "prophetnet": (
        "prophetnet/large",
        "documents.txt",
        {"decoder_layers_num": 2, "mask_block": 16, "tgt_seq_length": 16},
    ),
    "mpnet": ("mpnet/base", "documents.txt", {"seq_length": 80, "max_seq_length": 80}),
}
RUNS = (*CASES, *_SHIPPED)
LENGTH = 64


def config_of(name):
    """The processor's name, the corpus and the whole configuration of a run."""
    if name in CASES:
        corpus, config = CASES[name]
        return corpus, {**config, "data_processor": name, "seq_length": LENGTH}
    shipped, corpus, changes = _SHIPPED[name]
    config = {**load_config(shipped), **TINY, "seq_length": LENGTH, **changes}
    if "generator" in config:
        config["generator"] = {**config["generator"], **_GENERATOR, "dropout": 0.0}
    return corpus, config


def store_of(name, folder):
    """The sample corpus of a run, tokenised."""
    corpus, config = config_of(name)
    preprocess(
        [CORPORA / corpus],
        folder / "data",
        tokenizer=SpaceTokenizer(vocab_path=str(CORPORA / "vocab.txt")),
        corpus_format=processors.get(config["data_processor"]).corpus,
    )
    return Store.open(folder / "data")


def steps(name, store, count, *, shuffle=False, width=TINY["hidden_size"]):
    """Train and yield, for every step, the loss sum and the items of each objective.

    Args:
        name: of the run.
        store: its data.
        count: how many steps.
        shuffle: exchange the labels of a batch among each other, so that nothing can be learnt.
        width: of the model.
    """
    torch.manual_seed(0)
    _, config = config_of(name)
    recipe = read_recipe(None, {**config, "hidden_size": width, "emb_size": width})
    facts = {**side_facts(store.tokenizer(), None), "labels_num": 2}
    model = recipe.model.build(facts)
    assert recipe.processor is not None
    processor = recipe.processor.build(facts)
    stream = TextStream(
        store, processor, batch_size=4, seq_length=processor.seq_length,
        packing="documents" if model.packable else "off", seed=1,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        batch = stream.next()
        batch = _shuffled(batch, generator) if shuffle else batch
        scores, weights = model(batch), model.weights(batch)
        sums = {key: score.loss_sum for key, score in scores.items()}
        means = [model.loss_weights[key] * sums[key] / weights[key].clamp(min=1) for key in sums]
        optimizer.zero_grad()
        torch.stack(means).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield {key: (sums[key].item(), weights[key].item()) for key in sums}


def _shuffled(batch, generator):
    """The batch with the values of its labels in another order."""
    fields = dict(batch)
    for name, value in batch.items():
        if name.startswith("labels.") and name.endswith("value"):
            fields[name] = value[torch.randperm(len(value), generator=generator)]
    return Batch(fields)
