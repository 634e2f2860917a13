"""CLIP and SigLIP: transformers' model → ours → transformers, on tiny random weights."""

import json

import pytest
import torch
import transformers as hf
from PIL import Image as PIL
from support import SPECIALS, WORDS

from uer.batch import Batch
from uer.builder import Planner
from uer.cli.main import run
from uer.errors import ConfigError
from uer.interop.huggingface.destination import export
from uer.interop.huggingface.source import HuggingFaceFolder
from uer.model import Model
from uer.training.checkpoint import fill

V, EOS = 40, 39
TOWER = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**TOWER, "hidden_size": 16, "vocab_size": V, "max_position_embeddings": 12}
TEXT |= {"bos_token_id": 38, "eos_token_id": EOS, "pad_token_id": 1}
IMAGE = {**TOWER, "hidden_size": 24, "image_size": 16, "patch_size": 8, "num_attention_heads": 4}
CASES = {
    "clip": ("CLIP", TEXT, IMAGE, {"projection_dim": 8}),
    "clip-gelu": ("CLIP", {**TEXT, "hidden_act": "gelu"}, IMAGE, {"projection_dim": 8}),
    "siglip": ("Siglip", {**TEXT, "projection_size": 24}, IMAGE, {}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Their model, our model with its weights, and our configuration."""
    name, text, image, more = CASES[request.param]
    folder = tmp_path_factory.mktemp("theirs")
    torch.manual_seed(0)
    kind = getattr(hf, f"{name}Config")
    theirs = getattr(hf, f"{name}Model")(kind(text_config=text, vision_config=image, **more)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    theirs.save_pretrained(folder)
    source = HuggingFaceFolder(folder)
    config = source.config()
    ours = model_of(config).eval()
    report = fill(ours, source.tensors(list(ours.heads)), folder)
    assert not (report.missing or report.mismatched or report.unexpected)
    return theirs, ours, config


def model_of(config):
    planner = Planner(config)
    plan = planner.section(Model)
    data = ("data_processor", "image_preprocess", "interpolation")
    planner.finish(also_known=("about", "facts", *data))
    return plan.build(config["facts"])


def pairs(theirs):
    """Texts and images for theirs, and the same for ours.

    CLIP pads behind the end of a text; SigLIP reads its padding, up to the greatest length.
    """
    draw = torch.Generator().manual_seed(1)
    image = torch.randn(3, 3, 16, 16, generator=draw)
    length = torch.tensor([12, 7, 4])
    ids = torch.randint(2, 38, (3, 12), generator=draw)
    real = torch.arange(12) < length[:, None]
    ids[torch.arange(3), length - 1] = EOS
    asked = {"input_ids": ids, "pixel_values": image}
    if theirs.config.model_type == "clip":
        asked["attention_mask"] = real.long()
    else:
        real, length = torch.ones_like(real), torch.full((3,), 12)
    fields = {"src.0.ids": ids, "src.0.validity": real, "src.0.length": length}
    return asked, Batch({**fields, "src.1.image": image})


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_vectors_logits_and_losses(case):
    theirs, ours, _ = case
    asked, batch = pairs(theirs)
    (head,) = ours.heads.values()
    with torch.no_grad():
        out = theirs(**asked, return_loss=True)
        states = ours.states(batch)
        text, image = head.features(states)
        scores = ours(batch)
    close(states.streams[0].hidden[0], out.text_model_output.last_hidden_state[0])
    close(text, out.text_embeds)
    close(image, out.image_embeds)
    close(head.logits(text, image), out.logits_per_text)
    close(scores[head.name].loss_sum / 3, out.loss)


def test_written_and_read_again_the_bits_are_the_same(case, tmp_path):
    theirs, ours, config = case
    export(config, ours.state_dict()).write(tmp_path)
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"])
    state = again.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in theirs.state_dict().items())
    for tower in ("text_config", "vision_config"):
        one, other = (getattr(model.config, tower).to_dict() for model in (again, theirs))
        aside = {"dtype": 0, "hidden_act": 0}  # the act has two names
        assert {**one, **aside} == {**other, **aside}
    assert HuggingFaceFolder(tmp_path).config() == config
    assert type(hf.AutoModel.from_pretrained(tmp_path)) is type(theirs)


@pytest.mark.parametrize(
    ("name", "tower", "keys", "sentence"),
    [
        ("CLIP", "text_config", {"hidden_act": "mish"}, "text_config.hidden_act: 'mish' is an op"),
        ("Siglip", "vision_config", {"vision_use_head": False}, "without its head makes no vector"),
        ("Siglip", "text_config", {"projection_size": 7}, "7 is not the image tower's hidden_size"),
    ],
)
def test_options_that_are_not_here_are_named(name, tower, keys, sentence, tmp_path):
    kind = getattr(hf, f"{name}Config")
    config = kind(text_config=TEXT, vision_config=IMAGE)
    getattr(hf, f"{name}Model")(config).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    stored[tower] |= keys
    path.write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match=sentence):
        HuggingFaceFolder(tmp_path).config()


@pytest.mark.parametrize(
    ("name", "image"), [("CLIP", IMAGE), ("Siglip", {**IMAGE, "hidden_size": 16})]
)
def test_from_the_command_line_there_and_back(name, image, tmp_path):
    """With a tokenizer; what is read is trained on, and what comes back holds the same bits."""
    torch.manual_seed(0)
    theirs = getattr(hf, f"{name}Model")(
        getattr(hf, f"{name}Config")(text_config=TEXT, vision_config=image)
    )
    theirs.save_pretrained(tmp_path / "theirs")
    tokens = "".join(f"{token}\n" for token in [*SPECIALS, *WORDS])
    (tmp_path / "theirs/vocab.txt").write_text(tokens)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (tmp_path / "theirs/tokenizer_config.json").write_text(json.dumps(settings))
    for source, target in (("theirs", "ours"), ("ours", "again")):
        words = [str(tmp_path / source), str(tmp_path / target)]
        assert run("convert", words, "uer convert") == 0
    again = hf.AutoModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in theirs.state_dict().items())
    PIL.new("RGB", (20, 16), (200, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "pairs.tsv").write_text("the cat sees\tred.png\na dog\tred.png\n")
    rows = ["--test_path", str(tmp_path / "pairs.tsv"), "--seq_length", "12", "--threads", "1"]
    for place in ("theirs", "ours"):
        assert run("retrieve", ["--load_model_path", str(tmp_path / place), *rows], "r") == 0
