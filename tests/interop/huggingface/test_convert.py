import json

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file
from support import BERT as OURS
from support import SPECIALS, WORDS, model_of, table
from tiny import bert, edit, run

from uer.batch import Batch
from uer.config import load_config
from uer.interop.convert import read_checkpoint
from uer.interop.huggingface.weights import FolderWeights, write_weights
from uer.recipe import read_recipe
from uer.tokenizers.base import load
from uer.training.checkpoint import read_weights, save_checkpoint
from uer.training.state import Contents


def test_there_and_back_again(theirs, tmp_path, caplog):
    ours, again = tmp_path / "ours", tmp_path / "again"
    caplog.set_level("INFO")
    assert run("convert", theirs, ours) == 0
    assert "(huggingface): " in caplog.text and "written (uer)" in caplog.text
    assert load_config(ours / "config.yaml")["target"] == ["mlm"]
    assert load(ours / "tokenizer").vocab_size == len(SPECIALS) + len(WORDS)
    assert run("convert", ours, again) == 0
    one, other = load_file(theirs / "model.safetensors"), load_file(again / "model.safetensors")
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    assert type(hf.AutoModelForMaskedLM.from_pretrained(again)) is hf.BertForMaskedLM
    tokenizer = hf.AutoTokenizer.from_pretrained(again)
    assert tokenizer.tokenize("the cat") == ["the", "cat"]
    assert tokenizer.pad_token_id == 0 and tokenizer.mask_token == "[MASK]"
    assert tokenizer.model_max_length == 24  # as long as the table of positions
    assert len(tokenizer("the cat " * 20, truncation=True).input_ids) == 24


def test_the_type_of_numbers_stays(tmp_path):
    theirs, ours, again = (tmp_path / name for name in ("theirs", "ours", "again"))
    bert(theirs).bfloat16().save_pretrained(theirs)
    assert run("convert", theirs, ours) == run("convert", ours, again) == 0
    assert {t.dtype for t in read_weights(ours).values()} == {torch.bfloat16}
    assert hf.AutoConfig.from_pretrained(again).dtype == torch.bfloat16


def test_shards_and_torch_files_hold_the_same(theirs, tmp_path):
    whole = load_file(theirs / "model.safetensors")
    for name in ("shards", "torch"):
        (tmp_path / name).mkdir()
    write_weights(whole, tmp_path / "shards", limit=4000)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    torch.save(whole, tmp_path / "torch" / "pytorch_model.bin")
    for name in ("shards", "torch"):
        found = FolderWeights(tmp_path / name)
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[key], whole[key]) for key in whole)
    for path in tmp_path.glob("shards/*"):
        path.replace(theirs / path.name)
    (theirs / "model.safetensors").unlink()
    again = hf.AutoModelForMaskedLM.from_pretrained(theirs).state_dict()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_a_classifier_predicts_from_their_folder(tmp_path):
    theirs = tmp_path / "theirs"
    model = bert(theirs, "BertForSequenceClassification", num_labels=3)
    rows, predicted = tmp_path / "rows.tsv", tmp_path / "predicted.tsv"
    rows.write_text(table(6, label=False))
    flags = ("--test_path", rows, "--prediction_path", predicted, "--output_logits")
    assert run("infer", "classifier", "--load_model_path", theirs, *flags) == 0
    lines = [line.split("\t") for line in predicted.read_text().splitlines()]
    text = rows.read_text().splitlines()[1]
    ids = [2, *([*SPECIALS, *WORDS].index(word) for word in text.split()), 3]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    found = torch.tensor([float(one) for one in lines[1][1].split()])
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=0)


def test_finetuning_starts_from_their_folder(tmp_path, caplog):
    theirs, rows, ours = tmp_path / "theirs", tmp_path / "rows.tsv", tmp_path / "ours"
    bert(theirs, "BertForPreTraining", more_rows=7)
    rows.write_text(table(16))
    caplog.set_level("INFO")
    flags = ("--train_path", rows, "--epochs_num", 1, "--batch_size", 8, "--device", "cpu")
    places = ("--pretrained_model_path", theirs, "--output_model_path", ours)
    assert run("finetune", "classifier", *flags, *places) == 0
    assert "targets.cls.output" in caplog.text and "targets.cls.hidden" not in caplog.text
    words = read_weights(ours)["embedding.parts.word.weight"]
    assert words.shape[0] == len(SPECIALS) + len(WORDS) + 7
    flags = ("--test_path", rows, "--prediction_path", tmp_path / "predicted.tsv")
    assert run("infer", "classifier", "--load_model_path", ours, *flags) == 0


def test_pretraining_goes_on_from_their_folder(tmp_path):
    theirs, data, corpus = tmp_path / "theirs", tmp_path / "data.pt", tmp_path / "corpus.txt"
    bert(theirs)
    corpus.write_text("the cat sees the dog\nand the bird\n\n" * 20)
    made = ("--dataset_path", data, "--vocab_path", theirs / "vocab.txt")
    assert run("preprocess", "--corpus_path", corpus, *made, "--data_processor", "mlm") == 0
    flags = ("--total_steps", 2, "--batch_size", 2, "--seq_length", 16, "--device", "cpu")
    places = ("--pretrained_model_path", theirs, "--output_model_path", tmp_path / "ours")
    assert run("pretrain", "--dataset_path", data, *flags, *places) == 0
    made = read_checkpoint(tmp_path / "ours-2")
    assert made.config["layers_num"] == 2 and list(made.config["target"]) == ["mlm"]


def test_positions_grow_by_repeating_or_stretching(theirs, tmp_path):
    old = load_file(theirs / "model.safetensors")["bert.embeddings.position_embeddings.weight"]
    for way, name in (("extend", "longer"), ("interpolate", "finer")):
        flags = ("--resize_positions_to", 47, "--resize_positions_by", way)
        assert run("convert", theirs, tmp_path / name, *flags) == 0
        new = read_weights(tmp_path / name)["embedding.parts.pos.weight"]
        assert new.shape == (47, 16)
        assert load_config(tmp_path / name / "config.yaml")["max_seq_length"] == 47
        if way == "extend":
            assert torch.equal(new, torch.cat([old, old[:23]]))
        else:
            torch.testing.assert_close(new[::2], old)
            torch.testing.assert_close(new[1], (old[0] + old[1]) / 2)
    assert run("convert", tmp_path / "longer", tmp_path / "back") == 0
    assert hf.AutoModel.from_pretrained(tmp_path / "back").config.max_position_embeddings == 47


def test_rows_before_the_first_position_stay(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    options = {"type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 26}
    model = bert(theirs, "RobertaForMaskedLM", tokenizer=False, **options)
    assert run("convert", theirs, ours, "--resize_positions_to", 10) == 0
    table = model.state_dict()["roberta.embeddings.position_embeddings.weight"]
    assert torch.equal(read_weights(ours)["embedding.parts.pos.weight"], table[:12])


@pytest.mark.parametrize("more", [-3, 4])
def test_vocabularies_grow_by_their_mean_and_shrink_at_the_end(theirs, tmp_path, more):
    size = len(SPECIALS) + len(WORDS)
    assert run("convert", theirs, tmp_path / "ours", "--resize_vocab_to", size + more) == 0
    old = load_file(theirs / "model.safetensors")
    new = read_weights(tmp_path / "ours")
    word, words = new["embedding.parts.word.weight"], old["bert.embeddings.word_embeddings.weight"]
    kept = min(size, size + more)
    assert word.shape[0] == size + more and torch.equal(word[:kept], words[:kept])
    assert new["targets.mlm.output.weight"] is word
    assert torch.equal(new["targets.mlm.output.bias"][:kept], old["cls.predictions.bias"][:kept])
    if more > 0:
        torch.testing.assert_close(word[kept:], words.mean(0).expand(more, -1))
    assert load_config(tmp_path / "ours" / "config.yaml")["facts"]["vocab_size"] == size + more


def test_tables_that_are_not_there_cannot_grow(tmp_path, capsys):
    theirs = tmp_path / "theirs"
    model = hf.LlamaForCausalLM(
        hf.LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                       num_attention_heads=2)
    )  # fmt: skip
    model.save_pretrained(theirs)
    assert run("convert", theirs, tmp_path / "ours", "--resize_positions_to", 9) == 2
    assert "has no table of positions" in capsys.readouterr().err


def test_a_file_of_the_predecessors_needs_its_configuration(tmp_path, capsys):
    model, path, config = model_of(OURS), tmp_path / "old.bin", tmp_path / "config.json"
    names = {"embedding.word.embedding.weight": model.embedding.parts["word"].weight}
    torch.save(names, path)
    assert run("convert", path, tmp_path / "ours") == 2
    assert "give --config_path" in capsys.readouterr().err
    config.write_text(json.dumps(OURS))
    assert run("convert", path, tmp_path / "ours", "--config_path", config) == 2
    assert "does not fit the model: the checkpoint lacks" in capsys.readouterr().err


def test_the_predecessors_get_a_file_and_theirs_opens_in_transformers(theirs, tmp_path, caplog):
    old, config, ours = tmp_path / "old.bin", tmp_path / "config.json", tmp_path / "ours"
    config.write_text(json.dumps(OURS))
    weights = model_of({**OURS, "layernorm": "legacy"}, len(SPECIALS) + len(WORDS)).state_dict()
    contents = Contents(config=json.dumps({**OURS, "dialect": "legacy"}))
    save_checkpoint(tmp_path / "trained", weights, contents)
    caplog.set_level("INFO")
    assert run("convert", tmp_path / "trained", old, "--to", "legacy") == 0
    assert "holds weights alone" in caplog.text and "(legacy), " in caplog.text
    assert run("convert", tmp_path / "trained", old, "--to", "legacy") == 2
    flags = ("--config_path", config, "--vocab_path", theirs / "vocab.txt")
    assert run("convert", old, ours, *flags) == 0
    found = read_weights(ours)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert load_config(ours / "config.yaml")["dialect"] == "legacy"
    assert run("convert", ours, tmp_path / "new") == 0
    new = hf.AutoModelForPreTraining.from_pretrained(tmp_path / "new").eval()
    recipe = read_recipe(ours / "config.yaml")
    model = recipe.model.build(recipe.facts)
    model.load_state_dict(weights)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        one = model.eval().states(Batch({"src.ids": ids})).hidden
        other = new.bert(ids).last_hidden_state
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_what_transformers_cannot_express_is_refused(tmp_path, capsys):
    config = {**OURS, "layernorm": "rms"}
    model = model_of(config)
    text = json.dumps(config)
    save_checkpoint(tmp_path / "ours", model.state_dict(), Contents(config=text))
    assert run("convert", tmp_path / "ours", tmp_path / "theirs") == 2
    error = capsys.readouterr().err
    assert "no family of transformers is the same model; the nearest is" in error
    assert not (tmp_path / "theirs").exists()


def test_recurrent_models_have_no_family(tmp_path, capsys):
    sizes = {key: OURS[key] for key in ("emb_size", "hidden_size", "layers_num", "dropout")}
    config = {**sizes, "embedding": ["word"], "encoder": "lstm", "target": ["lm"]}
    weights = model_of(config).state_dict()
    save_checkpoint(tmp_path / "ours", weights, Contents(config=json.dumps(config)))
    assert run("convert", tmp_path / "ours", tmp_path / "theirs") == 2
    assert "no family of transformers is the same model" in capsys.readouterr().err


def test_a_generator_is_left_out(tmp_path, caplog):
    config = {**OURS, "target": ["rtd"], "generator": {**OURS, "target": ["mlm"]}}
    weights = model_of(config).state_dict()
    save_checkpoint(tmp_path / "ours", weights, Contents(config=json.dumps(config)))
    caplog.set_level("INFO")
    assert run("convert", tmp_path / "ours", tmp_path / "theirs") == 0
    assert "the generator is a model of its own and is left out" in caplog.text
    again = hf.AutoModelForPreTraining.from_pretrained(tmp_path / "theirs").state_dict()
    head = again["discriminator_predictions.dense.weight"]
    assert torch.equal(head, weights["targets.rtd.hidden.weight"])


def test_nothing_is_overwritten(theirs, tmp_path, capsys):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine.txt").write_text("mine")
    for kind in ("uer", "huggingface"):
        assert run("convert", theirs, tmp_path / "ours", "--to", kind) == 2
        assert "holds other files (mine.txt)" in capsys.readouterr().err


def test_unknown_flags(theirs, tmp_path, capsys):
    assert run("convert", theirs, tmp_path / "ours", "--layers_num", 3) == 2
    assert "uer convert has no flag --layers_num" in capsys.readouterr().err


def test_their_old_configurations_without_architecture(theirs, tmp_path):
    edit(theirs, architectures=None)
    assert read_checkpoint(theirs).config["target"] == ["mlm"]


def test_the_source_and_folders_of_ours_are_not_overwritten(theirs, tmp_path, capsys):
    ours, again = tmp_path / "ours", tmp_path / "again"
    assert run("convert", theirs, ours) == run("convert", ours, again) == 0
    for destination, sentence in ((ours, "is the source, too"), (tmp_path / "more", "of ours")):
        if destination != ours:
            assert run("convert", theirs, destination) == 0
        before = (destination / "manifest.json").read_bytes()
        assert run("convert", ours, destination, "--to", "huggingface") == 2
        assert sentence in capsys.readouterr().err
        assert (destination / "manifest.json").read_bytes() == before


def test_a_folder_brings_its_own_configuration(theirs, tmp_path, capsys):
    assert run("convert", theirs, tmp_path / "ours", "--config_path", "bert.json") == 2
    assert "carries its own configuration; leave --config_path out" in capsys.readouterr().err
