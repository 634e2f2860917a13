"""What users get wrong: status 2 and one clear sentence with the place and the way out."""

import logging
import shutil

import pytest
from support import SPECIALS, TINY, WORDS, table

from uer.cli.main import main, run
from uer.config import dump_yaml
from uer.errors import ConfigError
from uer.recipe import read_recipe

CONFIG = {
    **TINY,
    "data_processor": "bert",
    "embedding": ["word", "pos", "seg"],
    "encoder": "transformer",
    "target": ["mlm", "sp"],
    "tie_weights": True,
    "seq_length": 32,
}


def words_of(flags):
    return [str(word) for name, value in flags.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def place(tmp_path_factory, vocabulary, corpus):
    """A data set, a checkpoint, tables, and wrong files of every kind."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "tiny.yaml").write_text(dump_yaml(CONFIG))
    (folder / "rows.tsv").write_text(table(8))
    (folder / "file").write_text("a file where a folder should be")
    (folder / "empty.txt").write_text("\n \n")
    (folder / "other_vocab.txt").write_text("\n".join([*SPECIALS, *reversed(WORDS)]) + "\n")
    (folder / "no_specials.txt").write_text("\n".join(WORDS) + "\n")
    prepared = {"corpus_path": corpus, "vocab_path": vocabulary, "dataset_path": folder / "data"}
    assert run("preprocess", words_of(prepared), "preprocess.py") == 0
    trained = {
        "dataset_path": folder / "data",
        "config_path": folder / "tiny.yaml",
        "output_model_path": folder / "model",
        "total_steps": 2,
        "batch_size": 4,
        "threads": 1,
    }
    assert run("pretrain", words_of(trained), "pretrain.py") == 0
    return folder


@pytest.fixture
def refuse(capfd, place):
    """Runs a command and returns its sentence; nothing else may stand on the error stream."""

    def attempt(command, flags, *more):
        logging.getLogger().handlers.clear()
        capfd.readouterr()
        assert run(command, [*more, *words_of(flags)], command) == 2
        lines = capfd.readouterr().err.splitlines()
        said = [line for line in lines if line.startswith(f"{command}: ")]
        assert len(said) == 1 and lines[-1] == said[0] and "Traceback" not in "".join(lines)
        assert said[0].endswith((".", "?")), said
        return said[0].removeprefix(f"{command}: ")

    return attempt


@pytest.fixture
def pretrain(refuse, place, tmp_path):
    def attempt(**flags):
        given = {
            "dataset_path": place / "data",
            "config_path": place / "tiny.yaml",
            "output_model_path": tmp_path / "model",
            "total_steps": 2,
            "batch_size": 2,
        }
        return refuse("pretrain", {**given, **flags})

    return attempt


@pytest.fixture
def preprocess(refuse, tmp_path, vocabulary, corpus):
    def attempt(**flags):
        given = {
            "corpus_path": corpus,
            "vocab_path": vocabulary,
            "dataset_path": tmp_path / "data",
        }
        sentence = refuse("preprocess", {**given, **flags})
        assert not (tmp_path / "data").exists()
        return sentence

    return attempt


@pytest.fixture
def finetune(refuse, place, tmp_path):
    def attempt(**flags):
        given = {
            "train_path": place / "rows.tsv",
            "pretrained_model_path": place / "model-2",
            "output_model_path": tmp_path / "out",
            "seq_length": 16,
            "epochs_num": 1,
            "batch_size": 4,
        }
        return refuse("finetune", {**given, **flags}, "classifier")

    return attempt


def says(sentence, *parts):
    for part in parts:
        assert str(part) in sentence, (part, sentence)


def config_with(tmp_path, **changes):
    path = tmp_path / "changed.yaml"
    path.write_text(dump_yaml({**CONFIG, **changes}))
    return path


# ------------------------------------------------------------------------------- commands, flags


def test_unknown_commands_and_flags(refuse, preprocess, capfd):
    says(refuse("pretrein", {}), "uer has no command 'pretrein'; did you mean 'pretrain'?")
    says(preprocess(vocab_paht="x"), "vocab_paht: nobody asks", "did you mean 'vocab_path'?")
    says(preprocess(processes_num="many"), "--processes_num: invalid int value: 'many'")
    says(preprocess(processes_num=0), "processes_num: 0 is not positive")
    assert main(["--version"]) == 0 and main([]) == 0
    assert capfd.readouterr().out.startswith("uer ")


# --------------------------------------------------------------------------------- configurations


def test_a_misspelt_key(pretrain, tmp_path):
    path = config_with(tmp_path, layer_num=3)
    says(pretrain(config_path=path), path, "layer_num: nobody asks", "did you mean 'layers_num'?")
    says(pretrain(layers_nun=3), "layers_nun: nobody asks", "did you mean 'layers_num'?")


def test_a_key_in_the_wrong_section(tmp_path):
    left_out = {*TINY, "data_processor", "seq_length"}
    body = {key: CONFIG[key] for key in CONFIG if key not in left_out}
    stream = {**TINY, "embedding": ["word", "pos"], "encoder": "transformer"}
    path = config_with(tmp_path)
    dual = {"embedding": "dual", "encoder": "dual", "stream_0": stream, "stream_1": stream}
    path.write_text(dump_yaml({**body, **dual, "hidden_size": 8}))
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    (said,) = caught.value.problems
    assert "hidden_size: nobody asks for this key here, but for stream_0.hidden_size and" in said
    assert "did you mean 'hidden_size'" not in said


def test_a_value_of_another_type(pretrain, tmp_path):
    path = config_with(tmp_path, dropout="much")
    says(
        pretrain(config_path=path), path, "dropout: 'much' does not fit (dropout rate of", "number"
    )


def test_an_unknown_module(pretrain, tmp_path):
    path = config_with(tmp_path, encoder="transfomer")
    says(
        pretrain(config_path=path), path, "no encoder is called 'transfomer'; did you mean 'transf"
    )


def test_a_configuration_that_is_not_there(pretrain):
    says(
        pretrain(config_path="models/bert/bse_config.json"),
        "bert/bse_config.json: there is no such",
    )


def test_settings_out_of_range(pretrain, finetune):
    says(pretrain(batch_size=0), "--batch_size 0: must be at least 1")
    says(pretrain(dropout=1.5), "dropout: 1.5 is not between 0 and 1")
    says(pretrain(learning_rate=-1), "--learning_rate -1", "must be a positive number")
    says(pretrain(device="tpu"), "--device tpu: choose auto, cpu, cuda")
    says(finetune(epochs_num=0), "--epochs_num 0: must be at least 1")
    says(finetune(batch_size=0), "--batch_size 0: must be at least 1")


def test_labels_that_the_processor_does_not_make(pretrain):
    said = pretrain(target="lm", data_processor="bert", tie_weights="false", mask="causal")
    says(said, "'lm' needs labels that the data processor 'bert' does not make", "mlm, sp")


def test_sequences_longer_than_the_model_knows(pretrain):
    says(pretrain(seq_length=65), "65", "64")


# ------------------------------------------------------------------------------- corpus, data sets


def test_a_missing_corpus(preprocess, tmp_path):
    says(preprocess(corpus_path=tmp_path / "none.txt"), tmp_path / "none.txt", "no such file")


def test_an_empty_corpus(preprocess, place):
    says(preprocess(corpus_path=place / "empty.txt"), place / "empty.txt")


def test_a_corpus_that_is_no_text(preprocess, tmp_path):
    (tmp_path / "latin.txt").write_bytes("eins\nzw\xf6lf\n".encode("latin-1"))
    says(preprocess(corpus_path=tmp_path / "latin.txt"), f"{tmp_path / 'latin.txt'}:2: ", "UTF-8")


def test_a_corpus_in_the_format_of_another_processor(preprocess, corpus):
    said = preprocess(data_processor="cls")
    says(said, f"{corpus}:1: the label ", "a corpus of format 'labelled' has 'label<TAB>text'")


def test_a_vocabulary_without_special_tokens(preprocess, place):
    said = preprocess(vocab_path=place / "no_specials.txt")
    says(
        said, place / "no_specials.txt", "lacks the special tokens [PAD], ", "--special_tokens_path"
    )


def test_a_missing_vocabulary(preprocess, tmp_path, refuse, corpus):
    says(preprocess(vocab_path=tmp_path / "none.txt"), tmp_path / "none.txt", "No such file")
    said = refuse("preprocess", {"corpus_path": corpus, "dataset_path": tmp_path / "data"})
    says(said, "tokenizer 'bert' needs the key 'vocab_path'")


def test_places_that_cannot_be_written(preprocess, pretrain, finetune, place):
    below = place / "file" / "new"
    for attempt in (
        lambda: preprocess(dataset_path=below),
        lambda: pretrain(output_model_path=below),
        lambda: finetune(output_model_path=below),
    ):
        says(attempt(), f"cannot write to {place / 'file'}: ")


def test_a_place_that_holds_something_else(preprocess, place):
    says(preprocess(dataset_path=place), f"{place} exists and holds other files (")


def test_a_missing_data_set(pretrain, tmp_path):
    says(pretrain(dataset_path=tmp_path / "none"), tmp_path / "none", "preprocess")


def test_a_data_set_made_with_another_vocabulary(pretrain, place):
    said = pretrain(vocab_path=place / "other_vocab.txt")
    says(said, place / "data", place / "other_vocab.txt", "leave --vocab_path out")


def test_an_evaluation_set_made_with_another_tokenizer(pretrain, tmp_path, corpus, place):
    made = {"corpus_path": corpus, "vocab_path": place / "other_vocab.txt"}
    words = words_of({**made, "dataset_path": tmp_path / "other"})
    assert run("preprocess", words, "preprocess") == 0
    says(pretrain(eval_dataset_path=tmp_path / "other"), "tokenizer", "preprocess")


def test_a_checkpoint_trained_with_another_vocabulary_of_the_same_size(
    pretrain, tmp_path, corpus, place
):
    made = {"corpus_path": corpus, "vocab_path": place / "other_vocab.txt"}
    words = words_of({**made, "dataset_path": tmp_path / "other"})
    assert run("preprocess", words, "preprocess") == 0
    for flag in ("pretrained_model_path", "resume_from_checkpoint"):
        said = pretrain(dataset_path=tmp_path / "other", **{flag: place / "model-2"})
        says(said, f"{place / 'model-2'} was trained with", "the two differ", "preprocess the corp")


def test_labels_of_a_data_set_that_do_not_fit(pretrain, tmp_path, vocabulary):
    keys = {"data_processor": "cls", "target": "cls", "tie_weights": "false"}
    for name, labels in (("two", (0, 1)), ("gap", (0, 7))):
        (tmp_path / name).write_text("".join(f"{label}\tthe cat\n" for label in labels))
        made = {"corpus_path": tmp_path / name, "vocab_path": vocabulary, "data_processor": "cls"}
        words = words_of({**made, "dataset_path": tmp_path / f"{name}.data"})
        assert run("preprocess", words, "preprocess") == 0
    two, gap = tmp_path / "two.data", tmp_path / "gap.data"
    says(pretrain(dataset_path=gap, **keys), gap, "go up to 7, but only 2", "--labels_num")
    said = pretrain(dataset_path=two, labels_num=1, **keys)
    says(said, two, "the label 1 is outside 0 … 0", "leave --labels_num out")
    said = pretrain(dataset_path=two, eval_dataset_path=gap, **keys)
    says(said, gap, "the label 7 is outside 0 … 1")


def test_a_truncated_data_set(pretrain, place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    file = tmp_path / "data" / "src" / "tokens.bin"
    file.write_bytes(file.read_bytes()[:-10])
    says(pretrain(dataset_path=tmp_path / "data"), file, "preprocess")


# ----------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_of_another_shape(pretrain, place):
    said = pretrain(pretrained_model_path=place / "model-2", hidden_size=32, emb_size=32)
    says(said, place / "model-2", "(checkpoint [16], model [32])", "partial")


def test_a_missing_checkpoint(pretrain, tmp_path):
    says(pretrain(pretrained_model_path=tmp_path / "none"), tmp_path / "none")
    says(pretrain(resume_from_checkpoint=tmp_path / "none"), tmp_path / "none")


def test_a_damaged_checkpoint(pretrain, place, tmp_path):
    shutil.copytree(place / "model-2", tmp_path / "damaged")
    file = tmp_path / "damaged" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    says(pretrain(pretrained_model_path=tmp_path / "damaged"), tmp_path / "damaged", file.name)


def test_a_file_that_is_no_checkpoint(pretrain, place):
    said = pretrain(pretrained_model_path=place / "file")
    says(said, f"{place / 'file'} cannot be read as a checkpoint", "copy or download it again")
    assert "weights_only" not in said  # torch's advice is to run the file's code


def test_rows_to_report_on_are_read_before_training(finetune, tmp_path):
    says(finetune(test_path=tmp_path / "none.tsv"), "none.tsv: the table cannot be read")
    assert not (tmp_path / "out").exists()


def test_another_tokenizer_than_the_checkpoints(finetune, place):
    said = finetune(vocab_path=place / "other_vocab.txt")
    says(
        said, place / "model-2", "'bert' of 33 tokens", "the two differ", "leave --tokenizer, --voc"
    )
    said = finetune(tokenizer="char")
    says(said, "tokenizer 'char' needs the key 'vocab_path'")
    said = finetune(merges_path="m", vocab_path=place / "other_vocab.txt")
    says(said, "merges_path: nobody asks for this key")


def test_a_checkpoint_of_no_task(refuse, place, tmp_path):
    flags = {
        "load_model_path": place / "model-2",
        "test_path": place / "rows.tsv",
        "prediction_path": tmp_path / "out.tsv",
    }
    says(
        refuse("infer", flags, "classifier"), "is pre-trained only, not for 'classifier'; fine-tune"
    )
    says(
        refuse("infer", flags, "clasifier"), "no task is called 'clasifier'; did you mean 'classif"
    )
    says(
        refuse("infer", {**flags, "batch_size": 0}, "classifier"), "--batch_size 0: must be at lea"
    )


# ---------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("label\ttext_b\n0\tx\n", ":1: ", "no column 'text_a'; did you mean 'text_b'? Its columns"),
        (
            "label\ttext_a\n0\tthe cat\n2\tthe dog\n",
            ": ",
            "no row has the label 1; number the class",
        ),
        (
            "label\ttext_a\n0\tthe cat\n-1\tthe dog\n",
            ":3: ",
            "the label '-1' is no number; write 0",
        ),
        ("label\ttext_a\n0\tthe cat\n\n1\n", ":4: ", "1 fields, but the table has 2 columns"),
        ("", ": ", "the table is empty"),
        ("label\ttext_a\n", ": ", "column names, but no row"),
    ],
)
def test_tables_of_another_format(finetune, tmp_path, text, line, message):
    (tmp_path / "train.tsv").write_text(text)
    says(finetune(train_path=tmp_path / "train.tsv"), f"{tmp_path / 'train.tsv'}{line}", message)


def test_labels_that_training_did_not_know(finetune, tmp_path):
    (tmp_path / "dev.tsv").write_text(table(4) + "2\tthe bird\n")
    said = finetune(dev_path=tmp_path / "dev.tsv")
    says(said, f"{tmp_path / 'dev.tsv'}:6: the label 2 is outside 0 … 1", "counted in its training")


def test_a_missing_table(finetune, tmp_path):
    says(finetune(train_path=tmp_path / "none.tsv"), tmp_path / "none.tsv", "No such file")


def test_a_tokenizer_is_needed(refuse, place, tmp_path):
    flags = {"train_path": place / "rows.tsv", "config_path": place / "tiny.yaml"}
    says(
        refuse("finetune", flags, "classifier"), "--vocab_path is needed: no checkpoint brings its"
    )


def test_a_result_that_cannot_be_written_or_would_replace_an_input(refuse, place, tmp_path):
    flags = {"load_model_path": place / "model-2", "test_path": place / "rows.tsv"}
    rows = (place / "rows.tsv").read_bytes()
    for command, given, flag, more in (
        ("infer", flags, "prediction_path", ["classifier"]),
        ("vocab", {"corpus_path": place / "rows.tsv", "kind": "char"}, "output_path", []),
    ):
        said = refuse(command, {**given, flag: tmp_path}, *more)
        says(said, f"--{flag} {tmp_path} is a folder; name a file")
        says(refuse(command, {**given, flag: place / "rows.tsv"}, *more), "is the file that is rea")
        says(refuse(command, {**given, flag: place / "file" / "new"}, *more), "cannot write to ")
    assert (place / "rows.tsv").read_bytes() == rows and not list(tmp_path.iterdir())


def test_a_configuration_that_is_none(pretrain, place, tmp_path):
    says(pretrain(config_path=place / "model-2"), f"{place / 'model-2'} is a folder; name a file")
    (tmp_path / "binary.yaml").write_bytes(b"\x7fELF\xd0\x00")
    says(pretrain(config_path=tmp_path / "binary.yaml"), "binary.yaml: cannot be read: it is not")
    (tmp_path / "list.yaml").write_text("[PAD]\n[UNK]\n")
    says(pretrain(config_path=tmp_path / "list.yaml"), "list.yaml: is no valid YAML: line 2: ")
    (tmp_path / "zero.yaml").write_bytes(b"\x00")
    says(pretrain(config_path=tmp_path / "zero.yaml"), "zero.yaml: is no valid YAML: unacceptable")
