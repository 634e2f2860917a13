"""Families that read sound: transformers' model → ours → transformers, on tiny random weights."""

import json

import pytest
import torch
import transformers as hf
from comparing import assert_comes_back, close, read_here, run, their_model
from test_families import rows
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import build
from uer.components import Embedding
from uer.interop.huggingface.source import HuggingFaceFolder
from uer.interop.huggingface.tokenizer import write_tokenizer
from uer.tokenizers.base import Tokenizer, load

V = 40
WAVE = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [12, 10, 14],
    "conv_kernel": [6, 3, 2],
    "conv_stride": [4, 2, 1],
    "num_conv_pos_embeddings": 6,
    "num_conv_pos_embedding_groups": 4,
    "num_codevectors_per_group": 5,
    "codevector_dim": 8,
    "proj_codevector_dim": 6,
}
STABLE = {
    **WAVE,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "num_conv_pos_embeddings": 5,
}
S2T = {
    "vocab_size": V,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 24,
    "conv_channels": 12,
    "input_feat_per_channel": 7,
    "max_source_positions": 60,
    "max_target_positions": 24,
}
CASES = {
    "wav2vec2": ("Wav2Vec2Model", WAVE),
    "wav2vec2-stable": ("Wav2Vec2Model", {**STABLE, "hidden_act": "relu"}),
    "wav2vec2-no-mask": ("Wav2Vec2Model", {**WAVE, "mask_time_prob": 0.0}),
    "wav2vec2-pretraining": ("Wav2Vec2ForPreTraining", {**STABLE, "diversity_loss_weight": 0.3}),
    "wav2vec2-ctc": ("Wav2Vec2ForCTC", {**WAVE, "pad_token_id": 3, "ctc_zero_infinity": True}),
    "wav2vec2-ctc-stable": ("Wav2Vec2ForCTC", STABLE),
    "hubert": ("HubertModel", WAVE),
    "hubert-no-norm": ("HubertModel", {**STABLE, "feat_proj_layer_norm": False}),
    "hubert-ctc": ("HubertForCTC", STABLE),
    "s2t": ("Speech2TextModel", {**S2T, "scale_embedding": False}),
    "s2t-lm": ("Speech2TextForConditionalGeneration", S2T),
    "s2t-three": (
        "Speech2TextForConditionalGeneration",
        {**S2T, "num_conv_layers": 3, "conv_kernel_sizes": [5, 3, 3]},
    ),
    "s2t-untied": (
        "Speech2TextForConditionalGeneration",
        {**S2T, "tie_word_embeddings": False},
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Their model, our model with its weights, and our configuration."""
    name, folder = request.param, tmp_path_factory.mktemp("theirs")
    theirs = their_model(*CASES[name])
    theirs.save_pretrained(folder)
    ours, config = read_here(folder)
    return name, theirs, ours, config


def sides(theirs):
    """A batch for ours, the arguments for theirs that say the same, and what is real of it."""
    draw = torch.Generator().manual_seed(1)
    lengths = torch.tensor([90, 60, 41])
    real = torch.arange(90) < lengths[:, None]
    if not theirs.config.is_encoder_decoder:
        wave = torch.randn(3, 90, generator=draw) * real
        fields = {"src.wave": wave, "src.length": lengths}
        return fields, {"input_values": wave, "attention_mask": real.long()}, None
    frames = torch.randn(3, 90, 7, generator=draw) * real[..., None]
    tgt, seen = rows([6, 3, 5], 2)
    tgt = tgt.where(seen, theirs.config.pad_token_id)
    fields = {"src.frames": frames, "src.length": lengths}
    fields |= {"tgt.ids": tgt, "tgt.validity": seen, "tgt.length": seen.sum(1)}
    asked = {"input_features": frames, "attention_mask": real.long()}
    return fields, asked | {"decoder_input_ids": tgt, "decoder_attention_mask": seen.long()}, seen


def test_hidden_states_of_padded_sound(case):
    _, theirs, ours, _ = case
    fields, asked, seen = sides(theirs)
    with torch.no_grad():
        states = ours.states(Batch(fields))
    real = states.validity if seen is None else seen
    assert not real.all()
    body = getattr(theirs, theirs.base_model_prefix, theirs)
    close(states.hidden[real], run(body, asked).last_hidden_state[real])


def test_logits_and_losses(case):
    _, theirs, ours, _ = case
    fields, asked, seen = sides(theirs)
    if "lm" in ours.heads:
        place = seen.flatten().nonzero().flatten()
        labels = torch.full(seen.shape, -100)
        labels[seen] = torch.randint(5, V, (len(place),))
        fields |= {"labels.lm.index": place, "labels.lm.value": labels[seen]}
        out = run(theirs, {**asked, "labels": labels})
    elif "ctc" in ours.heads:
        labels = torch.tensor([[5, 6, 6, 7], [9, -100, -100, -100], [8, 11, -100, -100]])
        fields["labels.ctc.index"] = (labels >= 0).nonzero()[:, 0]
        fields["labels.ctc.value"] = labels[labels >= 0]
        out = run(theirs, {**asked, "labels": labels})
    else:
        return
    with torch.no_grad():
        states, scores = ours.states(Batch(fields)), ours(Batch(fields))
    (head,) = ours.heads.values()
    real = states.validity if seen is None else seen
    close(head.logits(states.hidden)[real], out.logits[real])
    loss = scores[head.name].loss_sum  # sums over rows there are sums over rows here
    close(loss / len(fields["labels.lm.value"]) if "lm" in ours.heads else loss, out.loss)


def test_the_loss_of_pre_training(case):
    name, theirs, ours, _ = case
    if name != "wav2vec2-pretraining":
        return
    fields, asked, _ = sides(theirs)
    torch.manual_seed(0)
    with torch.no_grad():
        states = ours.states(Batch(fields))
    masked = torch.zeros(states.hidden.shape[:2], dtype=torch.bool)
    masked[0, 1:7] = masked[1, 2:6] = masked[2, :3] = True
    negative = torch.zeros(*masked.shape, 4, dtype=torch.int64)
    for row, places in enumerate([(1, 7), (2, 6), (0, 3)]):
        negative[row] = torch.randint(*places, negative.shape[1:]) + row * masked.shape[1]
    index = masked.flatten().nonzero().flatten()
    fields |= {
        "src.masked": masked,
        "labels.wav2vec2.index": index,
        "labels.wav2vec2.negative_index": negative.flatten(0, 1)[index],
    }
    out = run(theirs, asked | {"mask_time_indices": masked, "sampled_negative_indices": negative})
    with torch.no_grad():
        score = ours(Batch(fields))["wav2vec2"]
        penalty = ours.states(Batch(fields)).extras["feature_penalty"]
    close(score.metrics["contrast"].total, out.contrastive_loss)
    close(score.loss_sum - 10.0 * penalty * len(index), out.loss)
    assert out.loss > out.contrastive_loss


def test_written_and_read_again_the_bits_are_the_same(case, tmp_path):
    _, theirs, ours, config = case
    assert_comes_back(theirs, ours, config, tmp_path)


def test_kernels_written_before_torch_had_parametrizations(tmp_path):
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    theirs = hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAVE)).eval()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    new = {"weight.original0": "weight_g", "weight.original1": "weight_v"}
    tensors = {}
    for name, tensor in load_file(path).items():
        for theirs_now, before in new.items():
            name = name.replace(f"parametrizations.{theirs_now}", before)
        tensors[name] = tensor
    assert any(name.endswith("weight_g") for name in tensors)
    save_file(tensors, path, {"format": "pt"})
    ours, _ = read_here(tmp_path)
    kernel = theirs.encoder.pos_conv_embed.conv.parametrizations.weight.original1
    assert torch.equal(ours.embedding.parts["convpos"].direction, kernel)


def test_a_tokenizer_of_several_languages_is_left_out_with_a_sentence(tmp_path):
    hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAVE)).save_pretrained(tmp_path)
    settings = {"tokenizer_class": "Speech2TextTokenizer", "lang_codes": "mustc"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "A": 1}')
    folder = HuggingFaceFolder(tmp_path)
    assert not folder.has_tokenizer()
    assert folder.notes() == [
        "its tokenizer has languages to choose from (mustc), which ours have not, and is left out."
    ]


def test_the_letters_of_ctc_are_those_of_transformers(tmp_path):
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"EHLOWRD'"]
    (tmp_path / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
    theirs = hf.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    theirs.save_pretrained(tmp_path)
    ours = build(Tokenizer, "hfpretrained", vocab_path=str(tmp_path))
    for text in ("HELLO WORLD", "O'ER X", " WE"):
        assert ours.encode(text).tolist() == theirs(text.strip()).input_ids
    assert ours.decode(ours.encode("HELLO WORLD")) == "HELLO WORLD"
    assert ours.facts()["pad_id"] == 0
    ours.save(tmp_path / "ours")
    again = load(tmp_path / "ours")
    assert again.encode("WE HELD").tolist() == ours.encode("WE HELD").tolist()
    (tmp_path / "back").mkdir()
    write_tokenizer(ours, tmp_path / "back")
    back = hf.AutoTokenizer.from_pretrained(tmp_path / "back")
    ids = back("WE HELD", add_special_tokens=False).input_ids
    assert ids == ours.encode("WE HELD").tolist()
    assert back.decode(ids) == "WE HELD"


def test_the_effective_kernel_is_theirs():
    conv = torch.nn.utils.parametrizations.weight_norm(
        torch.nn.Conv1d(8, 8, 5, groups=2, padding=2), dim=2
    )
    ours = build(Embedding, "convpos", emb_size=8, conv_pos_groups=2, conv_pos_kernel_size=5)
    stored = conv.parametrizations.weight
    with torch.no_grad():
        stored.original0.mul_(1.7)
        for mine, their in zip(
            (ours.scale, ours.direction, ours.bias),
            (stored.original0, stored.original1, conv.bias),
            strict=True,
        ):
            mine.copy_(their)
        hidden = torch.randn(2, 9, 8)
        expected = F.gelu(conv(hidden.transpose(1, 2)).transpose(1, 2))
        torch.testing.assert_close(ours.positions(hidden), expected)
