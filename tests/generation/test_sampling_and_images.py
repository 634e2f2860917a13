"""Samples of tokens; images for texts and back; captions of regions."""

import pytest
import torch
from support import TINY, VLP, model_of

from uer.batch import Batch
from uer.errors import ConfigError
from uer.generation.beam_search import Limits
from uer.generation.captions import caption_batch
from uer.generation.images import Painter
from uer.generation.sampling import Sampling

LOGITS = torch.tensor([3.0, 2.0, 1.0, 0.0, -1.0])


def shares(sampling, draws=4000):
    generator = torch.Generator().manual_seed(0)
    drawn = sampling.draw(LOGITS.expand(draws, 5), generator)
    return torch.bincount(drawn, minlength=5) / draws


def test_samples_follow_what_is_left_of_the_probabilities():
    chances = LOGITS.softmax(-1)
    close = {"atol": 0.03, "rtol": 0}
    torch.testing.assert_close(shares(Sampling()), chances, **close)
    two = torch.where(torch.arange(5) < 2, chances, 0.0)
    torch.testing.assert_close(shares(Sampling(top_k=2)), two / two.sum(), **close)
    # 0.636 and 0.234 sum to 0.87: the second is needed for 0.7, the third is not
    torch.testing.assert_close(shares(Sampling(top_p=0.7)), two / two.sum(), **close)
    cold = (LOGITS / 0.5).softmax(-1)
    torch.testing.assert_close(shares(Sampling(temperature=0.5)), cold, **close)
    assert shares(Sampling(top_p=1e-9))[0] == 1 == shares(Sampling(top_k=1))[0]


@pytest.mark.parametrize("values", [{"top_k": -1}, {"top_p": 1.5}, {"temperature": 0.0}])
def test_impossible_samplings_are_refused(values):
    with pytest.raises(ConfigError):
        Sampling(**values).checked()


DALLE = {
    "encoder": "transformer",
    **TINY,
    "embedding": ["word", "pos", "seg"],
    "mask": "causal_with_prefix",
    "target": "lm",
}


def painter():
    """30 tokens of texts, 20 codes; images have 4."""
    model = model_of(DALLE)
    return Painter(model=model, patches=4, codes_num=20, vocab_size=50, cls_id=2, sep_id=3)


def logits_of(model, ids, opening):
    """Of all places, with the first ones as the prefix: one pass over the whole sequence."""
    side = {
        "src.ids": ids,
        "src.segment": (ids >= 30).long(),
        "src.prefix": (torch.arange(ids.shape[1]) < opening).expand_as(ids),
    }
    return model.heads["lm"].logits(model.states(Batch(side)).hidden)


@torch.no_grad()
def test_the_likeliest_codes_are_those_of_one_pass():
    one = painter()
    greedy = Sampling(top_k=1)
    codes = one.codes([7, 8], 2, greedy, torch.Generator())
    assert codes.shape == (2, 4) and torch.equal(codes[0], codes[1])
    ids = torch.cat([torch.tensor([2, 7, 8, 3]), codes[0] + 30])[None]
    logits = logits_of(one.model, ids, 4)[0, 3:-1, 30:]
    assert torch.equal(logits.argmax(-1), codes[0])


@torch.no_grad()
def test_texts_end_and_hold_no_codes():
    one = painter()
    generator = torch.Generator().manual_seed(1)
    codes = torch.tensor([3, 1, 0, 19])
    (text,) = one.texts(codes, 1, Sampling(top_k=1), generator, max_length=6)
    ids = torch.tensor([[2, 33, 31, 30, 49, 3, *text]])
    said = logits_of(one.model, ids, 6)[0, 5:, :30].argmax(-1).tolist()
    assert said[: len(text)] == text
    assert len(text) == 6 or said[len(text)] == 3
    for row in one.texts(codes, 50, Sampling(), generator, max_length=6):
        assert len(row) <= 6 and all(token < 30 and token != 3 for token in row)


@torch.no_grad()
def test_a_caption_is_what_stands_in_the_place_of_each_mask():
    model = model_of(VLP)
    draw = torch.Generator().manual_seed(0)
    fields = {
        "src.regions": torch.rand(3, 2, 6, generator=draw),
        "src.boxes": torch.rand(3, 2, 5, generator=draw),
    }
    ids = {"cls_id": 2, "sep_id": 3, "mask_id": 4}
    found = caption_batch(model, Batch(fields), Limits(1, 5), **ids, never=[0])
    for row, texts in enumerate(found):
        words = texts[0].ids
        for place in range(len(words) + (len(words) < 5)):
            asked = torch.tensor([[2, *words[:place], 4]])
            side = {
                "src.ids": asked,
                "src.segment": torch.full_like(asked, 3),
                "src.prefix": torch.zeros_like(asked, dtype=torch.bool),
                **{name: value[row : row + 1] for name, value in fields.items()},
            }
            logits = model.heads["mlm"].logits(model.states(Batch(side)).hidden[:, -1])[0]
            logits[[0, 2, 4]] = -torch.inf
            assert logits.argmax() == (words[place] if place < len(words) else 3)
