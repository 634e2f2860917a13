"""rxnmapper's ALBERT fills in the masked tokens of reactions as transformers does."""

import re

import pytest
import torch
import transformers
from real_models import open_model

from uer.batch import Batch
from uer.builder import build
from uer.tokenizers.base import Tokenizer

pytestmark = pytest.mark.heavy

REACTIONS = [
    "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F",
    "C1COCCO1.CC(C)(C)OC(=O)CONC(=O)NCc1cccc2ccccc12.Cl>>O=C(O)CONC(=O)NCc1cccc2ccccc12",
    "CCO.CC(=O)O>>CC(=O)OCC",
]
# How SMILES are split into the vocabulary's tokens (arXiv:1811.02633).
TOKEN = re.compile(
    r"\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>>?|\*|\$|%\d\d|\d"
)


@pytest.fixture(scope="module")
def folder(install):
    models = install("rxnmapper") / "rxnmapper" / "models" / "transformers"
    return models / "albert_heads_8_uspto_all_1310k"


@pytest.fixture(scope="module")
def tokenizer(folder):
    return build(Tokenizer, "space", vocab_path=str(folder / "vocab.txt"))


@pytest.fixture(scope="module")
def theirs(folder):
    return transformers.AlbertForMaskedLM.from_pretrained(folder).eval()


def masked(tokenizer, reaction):
    """A row [n + 2] for each of the n tokens, with this token masked; and the tokens [n]."""
    tokens = TOKEN.findall(reaction)
    assert "".join(tokens) == reaction
    special = tokenizer.special
    ids = [special["cls"], *tokenizer.encode(" ".join(tokens)).tolist(), special["sep"]]
    vocabulary = {token: number for number, token in enumerate(tokenizer.vocabulary)}
    assert ids[1:-1] == [vocabulary[token] for token in tokens]
    rows = torch.tensor([ids]).repeat(len(tokens), 1)
    place = torch.arange(len(tokens))
    rows[place, place + 1] = special["mask"]
    return rows, torch.tensor(ids[1:-1])


def test_every_tensor_has_its_place(folder, tokenizer):
    _, report = open_model(folder, tokenizer)
    assert not (report.missing or report.mismatched)
    assert all("pooler" in name for name in report.unexpected)


def test_masked_tokens_are_predicted_as_transformers_does(folder, tokenizer, theirs):
    ours, _ = open_model(folder, tokenizer)
    right, asked = 0, 0
    for reaction in REACTIONS:
        rows, tokens = masked(tokenizer, reaction)
        place = torch.arange(len(tokens))
        index = place * rows.shape[1] + place + 1
        batch = Batch({"src.ids": rows, "labels.mlm.index": index, "labels.mlm.value": tokens})
        with torch.no_grad():
            expected = theirs(input_ids=rows).logits[place, place + 1]
            made = ours.heads["mlm"].logits(ours.states(batch).at(index))
            score = ours(batch)["mlm"]
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)
        same = expected.argmax(-1) == tokens
        assert score.metrics["accuracy"] == (same.sum(), len(tokens))
        right, asked = right + int(same.sum()), asked + len(tokens)
    assert (right, asked) == (151, 155)
