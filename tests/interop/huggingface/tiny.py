"""Small folders of transformers for tests."""

import json

import torch
import transformers as hf
from support import SPECIALS, WORDS

from uer.cli.main import main

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}


def bert(folder, kind="BertForMaskedLM", *, tokenizer=True, more_rows=0, **options):
    """A BERT of `WORDS`, saved by transformers; returns the model."""
    torch.manual_seed(0)
    size = len(SPECIALS) + len(WORDS) + more_rows
    kind = getattr(hf, kind)
    model = kind(kind.config_class(**{**BERT, "vocab_size": size, **options})).eval()
    model.save_pretrained(folder)
    if tokenizer:
        tokens = [*SPECIALS, *WORDS]
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
        settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return model


def edit(folder, **keys):
    """Change keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def run(*words):
    """A command; 0 if all went well."""
    return main([str(word) for word in words])
