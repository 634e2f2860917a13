"""Targets of sound, against transformers, torch and sums written out."""

import math

import pytest
import torch
from support import TINY, model_of
from torch.nn import functional as F
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from uer.batch import Batch
from uer.builder import Planner, build
from uer.components import Target
from uer.errors import ConfigError, UserError
from uer.layers.quantizer import perplexity
from uer.model import Model
from uer.states import States

# -------------------------------------------------------------------------------------- wav2vec 2.0

QUANTIZER = {"codebook_groups": 2, "codebook_size": 5, "code_size": 8, "contrast_size": 6}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def contrast(**keys):
    torch.manual_seed(0)
    keys = {"feature_penalty_weight": 0.0, **QUANTIZER, **keys}
    made = build(Target, "wav2vec2", input_size=16, features_size=12, **keys)
    made.name = "wav2vec2"
    return made


def their_target(ours):
    """The quantiser and the heads of transformers with the weights of ours."""
    theirs = Wav2Vec2ForPreTraining(
        Wav2Vec2Config(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            conv_dim=[12],
            conv_kernel=[4],
            conv_stride=[2],
            num_codevectors_per_group=5,
            codevector_dim=8,
            proj_codevector_dim=6,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        )
    )
    with torch.no_grad():
        theirs.quantizer.codevectors.copy_(ours.quantizer.codebooks.flatten(0, 1)[None])
    theirs.quantizer.weight_proj.load_state_dict(ours.quantizer.scores.state_dict())
    theirs.project_q.load_state_dict(ours.codes_projection.state_dict())
    theirs.project_hid.load_state_dict(ours.output.state_dict())
    return theirs


@pytest.mark.parametrize("training", [False, True])
def test_contrast_and_diversity_are_those_of_transformers(training, monkeypatch):
    ours = contrast().train(training)
    theirs = their_target(ours).train(training)
    hidden, features = drawn(2, 9, 16), drawn(2, 9, 12, seed=1)
    masked = torch.zeros(2, 9, dtype=torch.bool)
    masked[0, 1:6] = masked[1, 3:7] = True
    negatives = torch.zeros(2, 9, 4, dtype=torch.int64)
    draw = torch.Generator().manual_seed(2)
    negatives[0] = torch.randint(1, 6, (9, 4), generator=draw)
    negatives[1] = torch.randint(3, 7, (9, 4), generator=draw) + 9
    body = type("Out", (), {"last_hidden_state": hidden, "extract_features": features})
    body.hidden_states = body.attentions = None
    monkeypatch.setattr(theirs.wav2vec2, "forward", lambda *a, **k: body)
    torch.manual_seed(3)
    out = theirs(drawn(2, 20), mask_time_indices=masked, sampled_negative_indices=negatives.float())
    index = masked.flatten().nonzero().flatten()
    batch = Batch(
        {
            "labels.wav2vec2.index": index,
            "labels.wav2vec2.negative_index": negatives.flatten(0, 1)[index],
        }
    )
    torch.manual_seed(3)
    score = ours(States(hidden=hidden, extras={"features": features}), batch)
    assert ours.weight(batch) == 9
    torch.testing.assert_close(score.metrics["contrast"].total, out.contrastive_loss.detach())
    torch.testing.assert_close(score.metrics["diversity"].total, out.diversity_loss.detach())
    torch.testing.assert_close(score.loss_sum, out.loss)
    if not training:
        torch.testing.assert_close(
            score.metrics["code_perplexity"].total / 9, out.codevector_perplexity
        )
        same = ours.quantizer(features.flatten(0, 1)).codes
        pairs = same[batch["labels.wav2vec2.negative_index"]] == same[index][:, None]
        assert pairs.all(-1).any()  # a distractor that is the answer was among them


def test_the_penalty_joins_for_every_masked_frame():
    plain, penalised = contrast(), contrast(feature_penalty_weight=10.0)
    batch = Batch(
        {
            "labels.wav2vec2.index": torch.tensor([1, 2]),
            "labels.wav2vec2.negative_index": torch.tensor([[2], [1]]),
        }
    )
    extras = {"features": drawn(1, 4, 12), "feature_penalty": torch.tensor(0.25)}
    states = States(hidden=drawn(1, 4, 16), extras=extras)
    with torch.no_grad():
        losses = [one.eval()(states, batch).loss_sum for one in (plain, penalised)]
    torch.testing.assert_close(losses[1] - losses[0], torch.tensor(10.0 * 0.25 * 2))
    with pytest.raises(ConfigError, match="only the embedding wave has such features"):
        penalised(States(hidden=states.hidden, extras={"features": extras["features"]}), batch)


def test_without_masked_frames_the_loss_is_a_connected_zero():
    made = contrast().train()
    hidden = drawn(1, 4, 16).requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    fields = {"labels.wav2vec2.index": none, "labels.wav2vec2.negative_index": none[:, None]}
    score = made(States(hidden=hidden, extras={"features": drawn(1, 4, 12)}), Batch(fields))
    assert score.loss_sum == 0
    score.loss_sum.backward()
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in made.parameters())


def test_perplexity_by_hand():
    shares = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    assert perplexity(shares).item() == pytest.approx(4)
    assert perplexity(shares[:1]).item() == pytest.approx(1 + 2)
    third = torch.tensor([[[0.75, 0.25]]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert perplexity(third).item() == pytest.approx(math.exp(entropy))


def test_the_temperature_cools_with_the_updates_and_follows_a_resume():
    made = contrast(gumbel_temperature=2.0, gumbel_decay=0.5, gumbel_least=0.3)
    assert made.quantizer.temperature == 2.0
    made.on_update(1, 9)
    assert made.quantizer.temperature == 1.0
    made.on_resume(2, 9)
    assert made.quantizer.temperature == 0.5
    made.on_update(3, 9)
    assert made.quantizer.temperature == 0.3


@pytest.mark.parametrize(("share", "ends"), [(0.5, True), (0.1, False), (0.0, False)])
def test_a_run_that_collapses_ends_with_a_sentence(share, ends):
    made = contrast(least_code_use=share).train()
    with torch.no_grad():
        made.quantizer.scores.weight.zero_()
        made.quantizer.scores.bias[0] = made.quantizer.scores.bias[5] = 9.0
    batch = Batch(
        {
            "labels.wav2vec2.index": torch.tensor([1, 2]),
            "labels.wav2vec2.negative_index": torch.tensor([[2], [1]]),
        }
    )
    states = States(hidden=drawn(1, 4, 16), extras={"features": drawn(1, 4, 12)})

    def run():
        for step in range(1, 121):
            made(states, batch)
            made.on_update(step, 200)

    if not ends:
        run()  # two of ten codes are in use
        return
    with pytest.raises(UserError, match=r"at update 100 2\.0 of 10 are in use") as error:
        run()
    assert "diversity_weight" in str(error.value)


def test_features_are_needed():
    with pytest.raises(ConfigError, match="choose embedding: wave or spectrogram"):
        model_of({"embedding": "word", "encoder": "transformer", "target": "wav2vec2", **TINY})


# --------------------------------------------------------------------------------- codes of frames


def test_codes_are_compared_by_cosines():
    made = build(Target, "hubert", input_size=16, codes_num=7, feature_penalty_weight=0.0)
    made.name = "hubert"
    hidden = drawn(2, 5, 16)
    index, value = torch.tensor([0, 3, 9]), torch.tensor([6, 0, 2])
    score = made(
        States(hidden=hidden),
        Batch({"labels.hubert.index": index, "labels.hubert.value": value}),
    )
    states = made.projection(hidden.flatten(0, 1)[index])
    cosines = torch.cosine_similarity(states[:, None], made.codes[None], dim=-1)
    torch.testing.assert_close(
        score.loss_sum, F.cross_entropy(cosines / 0.1, value, reduction="sum")
    )
    assert made.additive
    assert not build(Target, "hubert", input_size=16, codes_num=7).additive


# ------------------------------------------------------------------------------------------ frames


def test_frames_are_compared_by_absolute_differences():
    made = build(Target, "frames", input_size=16, audio_feature_size=3)
    made.name = "frames"
    hidden, value = drawn(2, 5, 16), drawn(3, 3, seed=1)
    index = torch.tensor([0, 3, 9])
    batch = Batch({"labels.frames.index": index, "labels.frames.value": value})
    score = made(States(hidden=hidden), batch)
    made_of = made.frames(hidden.flatten(0, 1)[index])
    torch.testing.assert_close(score.loss_sum, (made_of - value).abs().sum() / 3)
    assert made.weight(batch) == 3


# ----------------------------------------------------------------------------------------- patches


def test_patches_are_told_apart_within_their_sound():
    made = build(Target, "ssast", input_size=16, features_size=4, reconstruction_weight=3.0)
    made.name = "ssast"
    hidden, patches = drawn(2, 7, 16), drawn(2, 5, 4, seed=1)
    states = States(hidden=hidden, indexed=slice(2, 7), extras={"features": patches})
    places = [[0, 2, 3], [1, 4]]
    index = torch.tensor([row * 5 + p for row, found in enumerate(places) for p in found])
    score = made(states, Batch({"labels.ssast.index": index}))
    contrast, square = 0.0, 0.0
    for row, found in enumerate(places):
        real = patches[row, found]
        states_of = hidden[row, [2 + p for p in found]]
        products = made.description(states_of) @ real.T
        contrast = contrast - products.log_softmax(-1).diag().sum()
        square = square + (made.reconstruction(states_of) - real).square().sum() / 4
    torch.testing.assert_close(score.loss_sum, contrast + 3.0 * square)
    torch.testing.assert_close(score.metrics["reconstruction"].total, square.detach())


# --------------------------------------------------------------------------------------------- ctc


def ctc(**keys):
    torch.manual_seed(0)
    made = build(Target, "ctc", input_size=16, vocab_size=6, **keys)
    made.name = "ctc"
    return made


def transcripts(*rows):
    value = torch.tensor([label for row in rows for label in row], dtype=torch.int64)
    row = torch.tensor([n for n, row in enumerate(rows) for _ in row], dtype=torch.int64)
    return Batch({"labels.ctc.value": value, "labels.ctc.index": row})


def test_ctc_by_summing_over_all_alignments():
    made = ctc(blank_id=5)
    hidden = drawn(2, 4, 16)
    states = States(hidden=hidden, length=torch.tensor([4, 3]))
    score = made(states, transcripts([1, 1], [2, 3, 0]))
    shares = made.logits(hidden).softmax(-1)
    total = 0.0
    for row, (frames, labels) in enumerate([(4, [1, 1]), (3, [2, 3, 0])]):
        chance = 0.0
        for number in range(6**frames):
            path = [number // 6**t % 6 for t in range(frames)]
            said = [c for t, c in enumerate(path) if c != 5 and (t == 0 or path[t - 1] != c)]
            if said == labels:
                chance = chance + math.prod(shares[row, t, c] for t, c in enumerate(path))
        total = total - chance.log()
    torch.testing.assert_close(score.loss_sum, total)
    assert score.metrics["impossible"].total == 0
    assert made.weight(transcripts([1, 1], [2, 3, 0])) == 5


def test_rows_without_room_for_their_labels_are_counted_and_do_not_count():
    made = ctc()
    states = States(hidden=drawn(3, 4, 16), length=torch.tensor([4, 2, 3]))
    score = made(states, transcripts([1, 2], [3, 3], [4, 5, 1]))  # [3, 3] needs a blank between
    first = made(States(hidden=states.hidden[:1]), transcripts([1, 2])).loss_sum
    third = made(
        States(hidden=states.hidden[2:], length=torch.tensor([3])), transcripts([4, 5, 1])
    ).loss_sum
    torch.testing.assert_close(score.loss_sum, first + third)
    assert score.metrics["impossible"].total == 1
    assert score.metrics["impossible"].weight == 3


def test_silence_beside_texts_is_learnt_and_smoothed():
    made, smoothed = ctc(), ctc(label_smoothing=0.2)
    hidden = drawn(2, 4, 16)
    states = States(hidden=hidden, length=torch.tensor([4, 2]))
    labels = transcripts([1, 2], [])
    shares = made.logits(hidden).log_softmax(-1)
    even = -(shares[0].mean(-1).sum() + shares[1, :2].mean(-1).sum())
    expected = 0.8 * made(states, labels).loss_sum + 0.2 * even
    torch.testing.assert_close(smoothed(states, labels).loss_sum, expected)
    alone = made(States(hidden=hidden[:1]), transcripts([1, 2])).loss_sum
    silent = -shares[1, :2, 0].sum()
    torch.testing.assert_close(made(states, labels).loss_sum, alone + silent)
    nothing = made(states, transcripts([], [])).loss_sum
    assert nothing == 0 and nothing.requires_grad


def test_the_blank_is_the_id_of_padding_unless_another_is_named():
    config = {"embedding": "word", "encoder": "transformer", "target": "ctc", **TINY}
    build_of = Planner(config).section(Model).build
    assert build_of({"vocab_size": 9, "pad_id": 3}).heads["ctc"].blank_id == 3
    named = Planner({**config, "blank_id": 8}).section(Model).build({"vocab_size": 9, "pad_id": 3})
    assert named.heads["ctc"].blank_id == 8
