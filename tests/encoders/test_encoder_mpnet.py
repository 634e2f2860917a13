"""Two-stream attention: what queries see, against the paper's rule written out token by token."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import TINY, VOCAB, documents_of, model_of
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder as Theirs

from uer.batch import Batch
from uer.builder import Planner
from uer.errors import ConfigError
from uer.model import Model
from uer.recipe import read_recipe
from uer.training.cost import cost

MPNET = {
    **TINY,
    "embedding": ["word", "pos"],
    "position_offset": 2,
    "encoder": "mpnet",
    "target": "mlm",
    "tie_weights": True,
}
MASK = 4


def rows_of(documents, orders, rows, width=None):
    """Lay documents out, each followed by its masked copies.

    Args:
        documents: [length] ids of each.
        orders: of each, the places to predict, in their order.
        rows: documents of each row.

    Returns:
        The batch, and for each document the flat places of its tokens and of its copies.
    """
    sizes = [sum(len(documents[n]) + len(orders[n]) for n in row) for row in rows]
    shape = (len(rows), width or max(sizes))
    ids, position, order = (torch.zeros(shape, dtype=torch.int64) for _ in range(3))
    document, query = torch.full(shape, -1), [[] for _ in rows]
    tokens, copies = {}, {}
    for number, row in enumerate(rows):
        column = 0
        for count, name in enumerate(row):
            text, turns = documents[name], torch.tensor(orders[name])
            size = len(text)
            span, behind = torch.arange(size) + column, torch.arange(len(turns)) + column + size
            ids[number, span], ids[number, behind] = text, MASK
            position[number, span], position[number, behind] = torch.arange(size), turns
            order[number, span[turns]] = torch.arange(len(turns)) + 1
            order[number, behind] = -1 - torch.arange(len(turns))
            document[number, torch.cat([span, behind])] = count
            query[number] += behind.tolist()
            tokens[name], copies[name] = span + number * shape[1], behind + number * shape[1]
            column += size + len(turns)
    longest = max(map(len, query))
    fields = {
        "src.ids": ids,
        "src.position": position,
        "src.order": order,
        "src.query": torch.tensor([q + [-1] * (longest - len(q)) for q in query]),
        "src.validity": document >= 0,
        "labels.mlm.index": torch.cat([copies[n] for row in rows for n in row]),
        "labels.mlm.value": torch.cat([documents[n][orders[n]] for row in rows for n in row]),
    }
    if any(len(row) > 1 for row in rows):
        fields["src.document"] = document
    return Batch(fields), tokens, copies


# ------------------------------------------------------------- the paper's rule, written out


def naive(model, text, order):
    """[copies, H] of the query stream, one query, layer and head after the other.

    Content items are all tokens, then a masked copy for each predicted one; a query stands for
    each copy. A permutation is the tokens that are not predicted, in any order, then the others.
    """
    parts, encoder = model.embedding.parts, model.encoder
    size = len(text)
    place = [*range(size), *order]
    embedded = parts["word"].weight[torch.cat([text, torch.full((len(order),), MASK)])]
    embedded = embedded + parts["pos"].weight[2:][place]
    content = model.embedding.norm(embedded)
    queries = content[size:]
    known = [p for p in range(size) if p not in order]

    def items(before, after):
        """What stands for each position: the known, tokens before, copies from there on."""
        return [*known, *order[:before], *(size + order.index(p) for p in order[after:])]

    of_content = [items(0, 0) for _ in range(size)]
    for turn, p in enumerate(order):
        of_content[p] = items(turn + 1, turn + 1)
    of_content += [items(0, 0) for _ in order]
    of_queries = [items(turn, turn) for turn in range(len(order))]
    for seen in of_content + of_queries:
        assert sorted(place[item] for item in seen) == list(range(size))  # every position, once
    for layer in encoder.layers:
        content, queries = (
            torch.stack([attended(encoder, layer, row, p, content, place, seen)
                         for row, p, seen in zip(stream, where, visible, strict=True)])
            for stream, where, visible in (
                (content, place, of_content),
                (queries, order, of_queries),
            )
        )  # fmt: skip
    return queries


def attended(encoder, layer, vector, position, content, place, seen):
    """One vector after one layer."""
    attention, heads = layer.attention, []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        query = attention.query(vector)[part]
        keys, values = (
            torch.stack([map_(content[item])[part] for item in seen])
            for map_ in (attention.key, attention.value)
        )
        distance = torch.tensor([place[item] - position for item in seen])
        bias = encoder.position.weight[Theirs.relative_position_bucket(distance), head]
        heads.append(F.softmax(keys @ query / 8**0.5 + bias, -1) @ values)
    vector = layer.attention_norm(vector + attention.output(torch.cat(heads)))
    return layer.feed_forward_norm(vector + layer.feed_forward(vector))


CASES = {"one": (5, [2]), "some": (9, [7, 0, 4]), "all": (4, [3, 1, 0, 2])}


@pytest.mark.parametrize("case", CASES)
def test_queries_are_those_of_the_paper(case):
    size, order = CASES[case]
    model, (text,) = model_of(MPNET), documents_of([size])
    batch, _, copies = rows_of([text], [order], [[0]])
    with torch.no_grad():
        mine, expected = model.states(batch).at(copies[0]), naive(model, text, order)
    torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


# ------------------------------------------------------------------------------- properties

CUTS = st.lists(st.tuples(st.integers(3, 9), st.randoms(use_true_random=False)), min_size=4,
                max_size=4)  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(cuts=CUTS)
def test_padding_and_packing_change_nothing(cuts):
    model = model_of(MPNET)
    assert model.packable
    documents = documents_of([size for size, _ in cuts])
    orders = [draw.sample(range(size), draw.randint(1, size)) for size, draw in cuts]
    results = []
    for rows in ([[0], [1], [2], [3]], [[0, 1, 2], [3]], [[2, 3], [0], [1]]):
        batch, tokens, copies = rows_of(documents, orders, rows)
        states = model.states(batch)
        every = torch.cat([torch.cat([tokens[n], copies[n]]) for n in range(4)])
        results.append((states.at(every), model(batch)["mlm"].loss_sum))
    for hidden, loss in results[1:]:
        torch.testing.assert_close(hidden, results[0][0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(loss, results[0][1], atol=1e-5, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(3, 9), draw=st.randoms(use_true_random=False))
def test_a_query_sees_the_tokens_before_its_turn_and_no_other_predicted_one(size, draw):
    model, (text,) = model_of(MPNET), documents_of([size])
    order = draw.sample(range(size), draw.randint(1, size - 1))
    changed = draw.randrange(size)
    other = text.clone()
    other[changed] = (other[changed] + 1) % VOCAB
    outcomes = []
    for each in (text, other):
        batch, _, copies = rows_of([each], [order], [[0]])
        outcomes.append(model.states(batch).at(copies[0]).detach())
    notices = ~torch.isclose(*outcomes, atol=1e-6).all(-1)
    known = changed not in order
    expected = [known or order.index(changed) < turn for turn in range(len(order))]
    assert notices.tolist() == expected


def test_a_query_knows_the_positions_of_all_tokens():
    model, (text,) = model_of(MPNET), documents_of([6])
    batch, _, copies = rows_of([text], [[1, 4, 3]], [[0]])
    before = model.states(batch).at(copies[0])
    for copy in copies[0]:
        moved = batch["src.position"].clone()
        moved[0, copy] = 40
        after = model.states(batch.replace(src__position=moved)).at(copies[0])
        # Turn k sees the copies from k on; the known tokens see all of them, and tell.
        assert (~torch.isclose(before, after, atol=1e-6)).any(-1).all()


def test_rows_may_be_longer_than_the_positions():
    model = model_of({**MPNET, "max_seq_length": 6})
    batch, _, _ = rows_of(documents_of([6]), [[0, 5]], [[0]])
    assert batch["src.ids"].shape[1] == 8 and model(batch)["mlm"].loss_sum > 0


def test_every_parameter_receives_a_gradient_and_nothing_waits_for_the_device():
    real, _, _ = rows_of(documents_of([6, 5]), [[1, 4, 3], [0]], [[0], [1]])
    plan = Planner(MPNET).section(Model)
    with FakeTensorMode() as mode:
        model = plan.build({"vocab_size": VOCAB}).train()
        model(Batch({k: mode.from_tensor(v) for k, v in real.items()}))["mlm"].loss_sum.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.device("meta"):
        assert cost(plan.build({"vocab_size": VOCAB}), real).flops > 0


def test_what_would_show_the_answers_or_turn_by_positions_is_refused():
    keys = {**MPNET, "data_processor": "mpnet", "masking": "token"}
    read_recipe(None, keys)
    with pytest.raises(ConfigError, match="encoder: 'transformer' would show the tokens that the"):
        read_recipe(None, {**keys, "encoder": "transformer"})
    batch, _, _ = rows_of(documents_of([6]), [[0, 5]], [[0]])
    with pytest.raises(ConfigError, match="position: mpnet needs one that is a bias"):
        model_of({**MPNET, "position": "rotary"})(batch)
