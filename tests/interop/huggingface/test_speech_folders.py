"""Whole folders of models that hear: weights, tokenizer, start token, and how sounds are read."""

import io
import json

import numpy as np
import pytest
import sentencepiece
import soundfile
import torch
import transformers as hf

from uer.cli.main import main
from uer.config import load_config
from uer.errors import ConfigError, DataError
from uer.interop.huggingface.pixels import FILE
from uer.interop.huggingface.sounds import FRAMES, WAVE, read_sounds
from uer.interop.huggingface.source import HuggingFaceFolder
from uer.interop.pretrained import checkpoint_tokenizer

RATE, BINS, LONGEST = 16000, 20, 12
TEXT = "the cat sat on a mat and dogs ran far away over hills press one for voice mail"
SIZES = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
    "conv_channels": 16, "input_feat_per_channel": BINS, "max_target_positions": 40,
}  # fmt: skip


def sounds(folder, count=5):
    """Noisy tones of different lengths, and a table of them."""
    draw = np.random.default_rng(0)
    made = []
    for number in range(count):
        time = np.arange(RATE // 3 + 900 * number) / RATE
        tone = 0.3 * np.sin(6.28 * (250 + 150 * number) * time) + draw.normal(0, 0.02, len(time))
        soundfile.write(folder / f"{number}.wav", tone, RATE)
        made.append(soundfile.read(folder / f"{number}.wav", dtype="float32")[0])
    names = [f"{number}.wav\n" for number in range(count)]
    (folder / "test.tsv").write_text("wav_path\n" + "".join(names))
    return made


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    """A folder of Speech2Text with everything it needs, and sounds."""
    folder = tmp_path_factory.mktemp("speaking")
    draw, model = np.random.default_rng(0), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(draw.choice(TEXT.split(), 6)) for _ in range(100)]),
        model_writer=model, vocab_size=60, model_type="bpe", minloglevel=2,
        bos_id=0, pad_id=1, eos_id=2, unk_id=3,
    )  # fmt: skip
    (folder / "m.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokens = [pieces.id_to_piece(number) for number in range(60)]
    ids = {token: number for number, token in enumerate([*tokens[:4], *reversed(tokens[4:])])}
    (folder / "v.json").write_text(json.dumps(ids))
    tokenizer = hf.Speech2TextTokenizer(
        str(folder / "v.json"), str(folder / "m.model"), do_upper_case=True
    )
    extractor = hf.Speech2TextFeatureExtractor(
        feature_size=BINS, num_mel_bins=BINS, normalize_vars=False
    )
    torch.manual_seed(1)
    config = hf.Speech2TextConfig(vocab_size=60, init_std=0.6, **SIZES)
    theirs = hf.Speech2TextForConditionalGeneration(config)
    theirs.save_pretrained(folder / "theirs")
    hf.Speech2TextProcessor(extractor, tokenizer).save_pretrained(folder / "theirs")
    return folder, sounds(folder)


def written(path, waves):
    """What transformers writes, the likeliest token each time."""
    theirs = hf.Speech2TextForConditionalGeneration.from_pretrained(path).eval()
    processor = hf.AutoProcessor.from_pretrained(path)
    texts = []
    for wave in waves:
        heard = processor(wave, sampling_rate=RATE, return_tensors="pt")
        made = theirs.generate(
            heard.input_features, attention_mask=heard.attention_mask, num_beams=1,
            do_sample=False, max_new_tokens=LONGEST, suppress_tokens=[1],
        )  # fmt: skip
        texts += processor.batch_decode(made, skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]


def heard(folder, path):
    """What we write for the table, without marks of unknown words, which theirs hide."""
    words = ["infer", "speech2text", "--load_model_path", str(path), "--beam_width", "1"]
    words += ["--batch_size", "1"]  # the padding of a batch is heard, here as there
    words += ["--test_path", str(folder / "test.tsv"), "--tgt_seq_length", str(LONGEST)]
    assert main([*words, "--prediction_path", str(folder / "texts.txt"), "--threads", "1"]) == 0
    lines = (folder / "texts.txt").read_text().splitlines()
    return [" ".join(line.replace("⁇", "").split()) for line in lines]


def test_a_folder_of_theirs_writes_what_it_writes_there(speaking):
    folder, waves = speaking
    wanted = written(folder / "theirs", waves)
    assert len(set(wanted)) == len(wanted)
    assert heard(folder, folder / "theirs") == wanted
    assert main(["convert", str(folder / "theirs"), str(folder / "ours")]) == 0
    assert heard(folder, folder / "ours") == wanted
    assert main(["convert", str(folder / "ours"), str(folder / "again")]) == 0
    assert written(folder / "again", waves) == wanted
    for name in ("vocab.json", "sentencepiece.bpe.model"):
        one, other = (folder / place / name for place in ("theirs", "again"))
        assert one.read_bytes().split() == other.read_bytes().split()
    config = json.loads((folder / "again" / "config.json").read_text())
    assert config["decoder_start_token_id"] == 2
    said = json.loads((folder / "again" / FILE).read_text())
    assert not said["normalize_vars"] and said["num_mel_bins"] == BINS


@pytest.mark.parametrize("start", [0, 3])
def test_a_decoder_may_start_with_any_token(speaking, tmp_path, start):
    folder, waves = speaking
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for file in (folder / "theirs").iterdir():
        (theirs / file.name).write_bytes(file.read_bytes())
    for name in ("config.json", "generation_config.json"):
        config = json.loads((theirs / name).read_text())
        (theirs / name).write_text(json.dumps({**config, "decoder_start_token_id": start}))
    assert HuggingFaceFolder(theirs).tokenizer().special["cls"] == start
    wanted = written(theirs, waves)
    assert heard(folder, theirs) == wanted != written(folder / "theirs", waves)
    config = json.loads((theirs / "config.json").read_text())
    (theirs / "config.json").write_text(json.dumps({**config, "decoder_start_token_id": 60}))
    with pytest.raises(DataError, match="60 tokens, and none has the id 60"):
        HuggingFaceFolder(theirs).tokenizer()


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_ctc_of_theirs_reads_the_same_text(tmp_path, norm):
    waves = sounds(tmp_path)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"EHLOWRD'"]
    (tmp_path / "v.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
    tokenizer = hf.Wav2Vec2CTCTokenizer(str(tmp_path / "v.json"))
    extractor = hf.Wav2Vec2FeatureExtractor(
        do_normalize=norm == "layer", return_attention_mask=norm == "layer"
    )
    torch.manual_seed(0)
    config = hf.Wav2Vec2Config(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, conv_dim=[12, 10, 14], conv_kernel=[10, 8, 4], conv_stride=[8, 8, 5],
        num_conv_pos_embeddings=6, num_conv_pos_embedding_groups=4, feat_extract_norm=norm,
        initializer_range=1.0,
    )  # fmt: skip
    theirs = hf.Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():
        theirs.lm_head.bias[5:] += 4  # letters rather than special tokens
    theirs.save_pretrained(tmp_path / "theirs")
    processor = hf.Wav2Vec2Processor(extractor, tokenizer)
    processor.save_pretrained(tmp_path / "theirs")
    wanted = []
    for wave in waves:
        asked = processor(wave, sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            best = theirs(asked.input_values).logits.argmax(-1)
        wanted += processor.batch_decode(best, skip_special_tokens=True)
    assert len(set(wanted)) > 2
    words = ["infer", "ctc", "--test_path", str(tmp_path / "test.tsv"), "--batch_size", "1"]
    words += ["--prediction_path", str(tmp_path / "texts.txt"), "--threads", "1"]
    assert main(["convert", str(tmp_path / "theirs"), str(tmp_path / "ours")]) == 0
    for place in ("theirs", "ours"):
        assert main([*words, "--load_model_path", str(tmp_path / place)]) == 0
        assert (tmp_path / "texts.txt").read_text().splitlines() == wanted
    config = load_config(tmp_path / "ours" / "config.yaml")
    assert config["sounds"] == "wave" and config["normalize_wave"] is (norm == "layer")
    assert main(["convert", str(tmp_path / "ours"), str(tmp_path / "again")]) == 0
    again = hf.AutoFeatureExtractor.from_pretrained(tmp_path / "again")
    assert type(again) is hf.Wav2Vec2FeatureExtractor
    for key in ("do_normalize", "sampling_rate", "return_attention_mask"):
        assert getattr(again, key) == getattr(extractor, key)


def test_a_model_that_reads_no_text_has_no_tokenizer(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    hf.HubertModel(hf.HubertConfig(**sizes, intermediate_size=8)).save_pretrained(tmp_path)
    assert checkpoint_tokenizer(tmp_path) is None


def test_what_we_cannot_do_to_sounds_is_refused(tmp_path):
    assert read_sounds(tmp_path, WAVE, {}) == {
        "sampling_rate": 16000,
        "sounds": "wave",
        "normalize_wave": True,
    }
    said = {"num_mel_bins": 40, "dither": 1.0, "sampling_rate": "fast", "padding_value": 1}
    (tmp_path / FILE).write_text(json.dumps(said))
    with pytest.raises(ConfigError) as caught:
        read_sounds(tmp_path, FRAMES, {"input_feat_per_channel": 80})
    problems = "\n".join(caught.value.problems)
    for said in ("have 40 filter banks and the model reads 80", "dither: 1.0", "'fast'", "but 0"):
        assert said in problems
