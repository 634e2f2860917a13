import pytest
import torch
import transformers
from support import TINY

from uer.builder import build
from uer.cli.main import main, run
from uer.config import dump_yaml
from uer.tokenizers.base import Tokenizer
from uer.training.checkpoint import save_checkpoint
from uer.training.state import Contents

CONFIG = {
    **TINY,
    "data_processor": "lm",
    "embedding": ["word", "pos"],
    "encoder": "transformer",
    "mask": "causal",
    "target": ["lm"],
    "seq_length": 16,
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(dump_yaml(CONFIG))
    return str(path)


def out(capsys, *words):
    assert run("inspect", words, "uer inspect") == 0
    return capsys.readouterr().out


def row(text, name):
    """Class and number in the line of a module."""
    line = next(line for line in text.splitlines() if line.split()[:1] == [name])
    return line.split()[1], int(line.split()[2].replace(",", ""))


def test_modules_and_parameters(capsys, config):
    text = out(capsys, config, "--vocab_size", "100", "--batch_size", "2")
    table, layer = 100 * 16, 4 * (16 * 16 + 16) + 2 * 16 * 32 + 32 + 16 + 4 * 16
    assert row(text, "embedding") == ("SumEmbedding", table + 64 * 16 + 32)
    assert row(text, "word") == ("WordEmbedding", table)
    assert row(text, "encoder") == ("TransformerEncoder", 2 * layer)
    total = 2 * table + 64 * 16 + 32 + 2 * layer
    assert f"parameters  {total:,} (shared ones once), {total:,} of them trained" in text
    tied = out(capsys, config, "--vocab_size", "100", "--tie_weights")
    assert f"parameters  {total - table:,} (" in tied


def test_work_is_three_times_the_products_of_the_forward_pass(capsys, config):
    text = out(capsys, config, "--vocab_size", "100", "--batch_size", "2")
    line = next(line for line in text.splitlines() if line.startswith("work"))
    work = int(line.split()[1].replace(",", ""))
    maps = 2 * (4 * 16 * 16 + 2 * 16 * 32) + 16 * 100  # products a token
    scores = 2 * 2 * 16 * 16  # two layers; queries with 16 keys, and with their values
    assert 0.9 * 6 * (maps + scores) < work <= 6 * (maps + scores)


def test_memory_of_weights_gradients_optimizer_and_activations(capsys):
    text = out(capsys, "bert/tiny", "--batch_size", "2", "--seq_length", "64")
    assert "12 MiB weights + 12 MiB gradients + 25 MiB AdamW + about" in text
    assert "batch       2 rows of 64" in text


def test_nothing_is_allocated(capsys, monkeypatch):
    made = []
    empty = torch.empty

    def watched(*shape, **keys):
        made.append(empty(*shape, **keys))
        return made[-1]

    monkeypatch.setattr(torch, "empty", watched)
    out(capsys, "bert/tiny", "--batch_size", "1", "--seq_length", "16")
    assert made and {tensor.device.type for tensor in made} == {"meta"}


def test_depth_limits_the_table(capsys, config):
    text = out(capsys, config, "--vocab_size", "100", "--depth", "1")
    names = [line.split()[0] for line in text.splitlines() if line.split()]
    assert names[:4] == ["embedding", "encoder", "targets", "parameters"]


def test_without_a_processor_the_body_is_counted(capsys, tmp_path):
    path = tmp_path / "toy.yaml"
    keys = {
        key: value for key, value in CONFIG.items() if key not in ("data_processor", "seq_length")
    }
    path.write_text(dump_yaml(keys))
    text = out(capsys, str(path), "--vocab_size", "100", "--batch_size", "2")
    assert "No data processor or no target" in text and "2 rows of 64, 128 real tokens" in text
    layer = 2 * (4 * 16 * 16 + 2 * 16 * 32 + 2 * 64 * 16)
    assert f"work        {3 * 2 * layer:,} floating-point operations a token" in text


def test_a_dual_model_reads_two_sides(capsys):
    text = out(capsys, "sbert/base", "--batch_size", "2", "--layers_num", "1")
    assert "2 rows of 128 + 128, 512 real tokens" in text
    layer = 4 * 768 * 768 + 2 * 768 * 3072 + 2 * 128 * 768
    assert f"work        {3 * 2 * layer:,} floating-point operations a token" in text


def test_a_classifier_can_be_inspected(capsys, config):
    keys = ["--target", "cls", "--data_processor", "cls", "--mask", "fully_visible"]
    text = out(capsys, config, "--vocab_size", "100", "--labels_num", "7", *keys)
    assert row(text, "output") == ("Linear", 7 * 17)


def test_a_folder_says_all_about_its_model(capsys, tmp_path, vocabulary):
    size = len(vocabulary.read_text().split())
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    options = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    options |= {"vocab_size": size, "hidden_size": 16, "max_position_embeddings": 24}
    transformers.BertForMaskedLM(transformers.BertConfig(**options)).save_pretrained(theirs)
    (theirs / "vocab.txt").write_bytes(vocabulary.read_bytes())
    assert main(["convert", str(theirs), str(ours)]) == 0
    for folder in (theirs, theirs / "config.json", ours, ours / "config.yaml"):
        text = out(capsys, str(folder))
        assert row(text, "word") == ("WordEmbedding", 16 * size)
    tokenizer = build(Tokenizer, "bert", vocab_path=str(vocabulary))
    trained = Contents(config=dump_yaml(CONFIG), save_tokenizer=tokenizer.save)
    save_checkpoint(tmp_path / "trained", {}, trained)
    assert row(out(capsys, str(tmp_path / "trained")), "word")[1] == 16 * size


def test_a_description_of_theirs_alone_is_refused(capsys, tmp_path):
    path = tmp_path / "some.json"
    path.write_text('{"model_type": "bert", "hidden_size": 16}')
    assert run("inspect", [str(path)], "uer inspect") == 2
    assert "of Hugging Face's transformers; give the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--vocab_size is needed: the configuration does not say it"),
        (["--vocab_size", "3"], "--vocab_size 3: must be more than 5"),
        (["--batch_size", "0"], "--batch_size 0: must be at least 1"),
        (["--depth", "0"], "--depth 0: must be at least 1"),
        (["--labels_num", "0"], "--labels_num 0: must be at least 1"),
        (["--layer_num", "3"], "layer_num: nobody asks for this key; did you mean 'layers_num'?"),
    ],
)
def test_mistakes(capsys, config, words, message):
    assert run("inspect", [config, *words], "uer inspect") == 2
    assert message in capsys.readouterr().err


def test_an_encoder_decoder_tells_its_work_by_side(capsys):
    text = out(capsys, "t5/small", "--batch_size", "4", "--layers_num", "1")
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    source, target = (int(lines["work"][at].replace(",", "")) for at in (1, 7))
    h, f, v = 512, 2048, 32128
    layer = 6 * (4 * h * h + 2 * h * f + 2 * 128 * h)  # its maps, and 128 keys for every query
    assert layer < source < 1.2 * layer  # rows are not quite full
    assert target > 6 * (6 * h * h + 2 * h * f + h * v)
    assert lines["batch"][1:7] == ["4", "rows", "of", "128", "+", lines["batch"][6]]


SMALL = [
    *("albert/base", "bart/base", "bert/tiny", "byt5/small", "cnn/gatedcnn_9", "gpt2/distil"),
    *("modernbert/base", "opt/125m", "pegasus/base", "prefixlm/base", "qwen3/0.6b", "rnn/bilstm"),
    *("rnn/lstm", "roberta/base", "t5-v1_1/small", "transformer/base"),
]


@pytest.mark.parametrize("name", SMALL)
def test_models_of_every_kind_can_be_inspected(capsys, name):
    text = out(capsys, name, "--batch_size", "2", "--layers_num", "2", "--depth", "1")
    assert " floating-point operations a " in text and "activations" in text
