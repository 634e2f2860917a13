"""What a model writes is what it says of the text when it is given it."""

import pytest
import torch
from support import TINY, VOCAB, model_of

from uer.batch import Batch
from uer.generation.beam_search import Limits
from uer.generation.seq2seq import decode_batch

START, END = 1, 2
BART = {
    **TINY,
    "encoder": "transformer",
    "embedding": ["word", "pos"],
    "tgt_embedding": ["word", "pos"],
    "decoder": "transformer",
    "decoder_layers_num": 2,
    "target": ["lm"],
}
LENGTHS = [9, 4, 7]


def sources():
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(5, VOCAB, (length,), generator=draw) for length in LENGTHS]


def padded(documents):
    ids = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True)
    lengths = torch.tensor([len(one) for one in documents])
    validity = torch.arange(ids.shape[1]) < lengths[:, None]
    return {"src.ids": ids, "src.validity": validity, "src.length": lengths}


@pytest.fixture(scope="module")
def model():
    made = model_of({**BART, "has_lmtarget_bias": True}, seed=1)
    with torch.no_grad():
        made.heads["lm"].output.bias[END] += 4  # so that texts end
    return made


def score_of(model, source, text, length_penalty):
    """Of a text that ends, by the model's own loss of all its tokens at once."""
    said = torch.tensor([*text, END])
    read = torch.tensor([[START, *text]])
    labels = {"labels.lm.index": torch.arange(len(said)), "labels.lm.value": said}
    batch = Batch({**padded([source]), "tgt.ids": read, **labels})
    return -model(batch)["lm"].loss_sum.item() / len(said) ** length_penalty


@pytest.mark.parametrize(("width", "penalty"), [(1, 1.0), (4, 1.0), (6, 0.0)])
def test_scores_are_the_models_own(model, width, penalty):
    limits = Limits(width, 15, length_penalty=penalty)
    with torch.inference_mode():
        found = decode_batch(model, Batch(padded(sources())), limits, start=START, end=END)
        ended = [
            (source, one)
            for source, hypotheses in zip(sources(), found, strict=True)
            for one in hypotheses
            if len(one.ids) < 15
        ]
        assert ended
        for source, one in ended:
            assert one.score == pytest.approx(score_of(model, source, one.ids, penalty), abs=1e-4)


def test_rows_and_their_padding_do_not_matter(model):
    limits = Limits(3, 10)
    with torch.inference_mode():
        together = decode_batch(model, Batch(padded(sources())), limits, start=START, end=END)
        for source, hypotheses in zip(sources(), together, strict=True):
            (alone,) = decode_batch(model, Batch(padded([source])), limits, start=START, end=END)
            assert [one.ids for one in alone] == [one.ids for one in hypotheses]
