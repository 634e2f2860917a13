import numpy as np
import pytest
import torch
from support import MODELS, batch_of, documents_of, model_of

from uer.builder import build
from uer.errors import DataError
from uer.tasks.base import Examples, Task, join_rows


def task(**keys):
    return build(Task, "classifier", **keys)


def rows(tmp_path, text):
    path = tmp_path / "rows.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_single_texts_and_pairs(tmp_path):
    path = rows(tmp_path, "label\ttext_a\n1\tthe cat\n0\tdog\n")
    read = task().read(path, {}, labelled=True)
    assert read.texts == [["the cat"], ["dog"]] and read.columns["label"].tolist() == [1, 0]
    assert task().facts(read) == {"labels_num": 2}
    path = rows(tmp_path, "text_a\ttext_b\na\tb\n")
    assert task().read(path, {}, labelled=False) == Examples([["a", "b"]])


def test_training_labels_have_no_gap_and_others_are_those_of_training(tmp_path):
    path = rows(tmp_path, "label\ttext_a\n0\ta\n2\tb\n")
    with pytest.raises(DataError, match="labels go up to 2, but no row has the label 1; number"):
        task().read(path, {}, labelled=True)
    assert task().read(path, {"labels_num": 3}, labelled=True).columns["label"].tolist() == [0, 2]
    with pytest.raises(DataError, match=r"rows\.tsv:3: the label 2 is outside 0 … 1"):
        task().read(path, {"labels_num": 2}, labelled=True)


def test_predictions(tmp_path):
    logits = torch.tensor([[0.0, np.log(3)], [2.0, 2.0 - np.log(4)]])
    out = tmp_path / "out.tsv"
    task().write(logits, out)
    assert out.read_text() == "label\n1\n0\n"
    task(output_logits=True, output_prob=True).write(logits, out)
    header, *lines = out.read_text().splitlines()
    assert header == "label\tlogits\tprob"
    assert lines[0] == "1\t0 1.09861\t0.25 0.75" and lines[1].endswith("\t0.8 0.2")


def test_the_models_head_is_read_off():
    model = model_of(MODELS["classifier"])
    batch, _ = batch_of(documents_of([4, 6]), [[0], [1]])
    logits = task().predict(model, batch)
    value = batch["labels.cls.value"]
    loss = torch.nn.functional.cross_entropy(logits, value, reduction="sum")
    torch.testing.assert_close(model(batch)["cls"].loss_sum, loss)


def test_the_summary_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 4, generator=draw)
    truth = torch.randint(0, 3, (50,), generator=draw)  # the last class has no row
    lines = task().summary(outputs, Examples([], {"label": truth.numpy()}))
    predicted = outputs.argmax(-1)
    theirs = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(4), zero_division=0
    )
    for label, (precision, recall, f1) in enumerate(zip(*theirs[:3], strict=True)):
        expected = f"label {label}: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}"
        assert lines[label] == expected
    right = int((truth == predicted).sum())
    assert lines[-1] == f"accuracy {right / 50:.4f} ({right}/50)"


def test_outputs_are_put_into_the_order_of_the_input():
    outputs = torch.arange(10.0).reshape(5, 2)
    order = torch.tensor([3, 0, 4, 2, 1])
    parts = [(outputs[order[:2]], order[:2].numpy()), (outputs[order[2:]], order[2:].numpy())]
    assert torch.equal(join_rows(parts, 5), outputs)
    unread = join_rows(parts, 6)[5]
    assert unread.isnan().all()
