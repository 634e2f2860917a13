"""Beam search finds what brute force finds, and what transformers' finds."""

import itertools

import pytest
import torch

from uer.generation.beam_search import Limits, beam_search

START, END, PAD = 0, 1, 2


def table_model(vocab=5, rows=3, seed=0, scale=1.0):
    """Log-probabilities that depend on the row and the last two tokens."""
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(rows, vocab, vocab, vocab, generator=draw).mul(scale).log_softmax(-1)

    def following(ids, row):
        before = ids[:, -2] if ids.shape[1] > 1 else torch.zeros_like(row)
        return table[row, before, ids[:, -1]].clone()

    return following


def score_of(following, row, text, limits):
    """Of a text that ends, token by token."""
    ids, total = [START], 0.0
    for token in (*text, END):
        total += following(torch.tensor([ids]), torch.tensor([row]))[0, token].item()
        ids.append(token)
    return limits.score(total, len(text) + 1)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0])
def test_a_wide_beam_finds_the_best_of_all_texts(penalty):
    following = table_model()
    limits = Limits(beam_width=4**4, max_length=4, length_penalty=penalty)
    found = beam_search(following, 3, limits, start=START, end=END, never=[PAD, START])
    texts = [t for n in range(4) for t in itertools.product([3, 4], repeat=n)]
    for row, hypotheses in enumerate(found):
        ended = [h for h in hypotheses if len(h.ids) < 4]
        wanted = sorted(((score_of(following, row, t, limits), t) for t in texts), reverse=True)
        assert [tuple(h.ids) for h in ended] == [t for _, t in wanted]
        assert [h.score for h in ended] == pytest.approx([s for s, _ in wanted], abs=1e-5)
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert len(hypotheses) == len(texts) + 2**4  # those that did not end count, too


def test_a_beam_of_one_takes_the_likeliest_token_each_time():
    following = table_model(seed=3)
    limits = Limits(beam_width=1, max_length=6)
    for row, (best,) in enumerate(beam_search(following, 3, limits, start=START, end=END)):
        ids = [START]
        while len(ids) < 7 and ids[-1] != END:
            ids.append(int(following(torch.tensor([ids]), torch.tensor([row])).argmax()))
        assert best.ids == [token for token in ids[1:] if token != END]


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_rows_do_not_depend_on_each_other(width):
    following = table_model(vocab=8, rows=5, seed=1, scale=2.0)
    limits = Limits(width, 12)
    together = beam_search(following, 5, limits, start=START, end=END)
    for row in range(5):
        alone = beam_search(
            lambda ids, rows, row=row: following(ids, rows + row), 1, limits, start=START, end=END
        )
        assert [h.ids for h in alone[0]] == [h.ids for h in together[row]]


def test_scores_are_those_of_the_texts():
    """Histories go with their beams: a text's score is what the model says of it from the start."""
    following = table_model(vocab=20, rows=4, seed=2, scale=2.0)
    limits = Limits(beam_width=4, max_length=10)
    for row, hypotheses in enumerate(beam_search(following, 4, limits, start=START, end=END)):
        ended = [h for h in hypotheses if len(h.ids) < 10]
        assert len(hypotheses) == 4 and ended
        for one in ended:
            assert one.score == pytest.approx(score_of(following, row, one.ids, limits), abs=1e-5)


def test_short_and_forbidden():
    following = table_model(seed=4)
    limits = Limits(beam_width=3, max_length=5, min_length=2)
    for hypotheses in beam_search(following, 3, limits, start=START, end=END, never=[3]):
        assert all(len(h.ids) >= 2 and 3 not in h.ids for h in hypotheses)


@pytest.mark.parametrize(("width", "penalty"), [(1, 1.0), (3, 1.0), (4, 0.0), (5, 2.0)])
def test_transformers(width, penalty):
    """A tiny Speech2Text with random weights writes the same texts with either search."""
    from transformers import Speech2TextConfig, Speech2TextForConditionalGeneration

    torch.manual_seed(0)
    config = Speech2TextConfig(
        vocab_size=30, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=100,
        max_target_positions=40, conv_channels=16, input_feat_per_channel=8, pad_token_id=PAD,
        bos_token_id=START, eos_token_id=END, decoder_start_token_id=START, init_std=1.0,
    )  # fmt: skip
    model = Speech2TextForConditionalGeneration(config).eval()
    frames = torch.randn(4, 40, 8)
    with torch.inference_mode():
        theirs = model.generate(
            frames, num_beams=width, length_penalty=penalty, max_new_tokens=12, do_sample=False,
            num_return_sequences=width,
        )  # fmt: skip
        memory = model.model.encoder(frames)

        def following(ids, row):
            chosen = type(memory)(last_hidden_state=memory.last_hidden_state[row])
            logits = model(decoder_input_ids=ids, encoder_outputs=chosen).logits
            return logits[:, -1].log_softmax(-1)

        limits = Limits(width, 12, length_penalty=penalty)
        ours = beam_search(following, 4, limits, start=START, end=END)
    for row, hypotheses in enumerate(ours):
        texts = theirs[row * width : (row + 1) * width, 1:].tolist()
        cut = [text[: text.index(END)] if END in text else text for text in texts]
        assert [h.ids for h in hypotheses] == cut
