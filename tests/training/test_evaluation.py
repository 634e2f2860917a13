import pytest
import torch
from training_fakes import FakeEvaluationData, FakeModel, rows_to_batch

from uer.optimizers.adamw import AdamW
from uer.training.engines.single import SingleDevice
from uer.training.evaluation import Evaluation, Window, evaluate


def prepared(model):
    engine = SingleDevice()
    engine.prepare(model, lambda: AdamW().build(model.decay_groups(), 1e-3))
    return engine


def test_the_mean_is_over_items_and_not_over_batches():
    model = FakeModel(dropout=0.5)
    engine = prepared(model.train())
    state = torch.get_rng_state()
    split = evaluate(engine, model, FakeEvaluationData([[1], [2, 3, 5, 6], [7, 0]]))
    whole = evaluate(engine, model, FakeEvaluationData([[1, 2, 3, 5, 6, 7, 0]]))
    assert split == pytest.approx(whole, rel=1e-6)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_trains_again_after_a_failure():
    class Failing:
        def once(self):
            yield rows_to_batch([1])
            raise OSError("disk")

    model = FakeModel().train()
    with pytest.raises(OSError, match="disk"):
        evaluate(prepared(model), model, Failing())
    assert model.training


def test_a_figure_without_items_is_left_out():
    model = FakeModel()
    figures = evaluate(prepared(model), model, FakeEvaluationData([[4, 8]]))  # no item of `tok`
    assert "tok.loss" not in figures and figures["loss"] == 0.5 * figures["doc.loss"]


def test_a_window_returns_from_numbers_and_starts_anew():
    model, engine = FakeModel(), SingleDevice()
    window, again = Window(engine.device), Window(engine.device)
    batch = rows_to_batch([1, 2, 3])
    window.add(model(batch), model.weights(batch))
    window.add(model(batch), model.weights(batch), unless=torch.tensor(1.0))
    again.load_state(window.state(engine))
    weights = model.loss_weights
    assert again.figures(engine, weights) == window.figures(engine, weights)
    assert window.state(engine)["tok.loss"][1] == 6
    window.clear()
    assert window.figures(engine, weights) == {}


@pytest.mark.parametrize(
    "highest, value, best, better",
    [
        (False, 1.0, None, True),
        (False, 1.0, 2.0, True),
        (False, 2.0, 2.0, False),
        (True, 2.0, 1.0, True),
        (True, 1.0, 2.0, False),
        (False, float("nan"), None, False),
        (False, 1.0, float("nan"), True),
    ],
)
def test_what_is_better(highest, value, best, better):
    evaluation = Evaluation(data=FakeEvaluationData(), highest=highest)
    assert evaluation.better(value, best) is better
