import numpy as np
from fake_store import store_of
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.instances import Constant, Instances, Span
from uer.data.ragged import Ragged, gather

PAIR = (
    Constant(1),
    Span(0),
    Constant(2, only_if=0),
    Span(1, segment=1, loss=False),
    Constant(3, segment=1, only_if=1, loss=True),
)
SWAPPED = (Span(1, prefix=True), Span(0), Constant(4))


def instances(layout, start, length, layouts=(PAIR, SWAPPED)):
    return Instances(
        layouts, np.array(layout, np.uint8), np.array(start), np.array(length, np.int32)
    )


def naive(tokens, made, i):
    """Piece by piece: (id, segment, loss, special, prefix) of each token."""
    out = []
    for piece in made.layouts[made.layout[i]]:
        if isinstance(piece, Constant):
            if piece.only_if is None or made.length[i, piece.only_if]:
                out.append((piece.id, piece.segment, piece.loss, True, piece.prefix))
        else:
            at, size = made.start[i, piece.number], made.length[i, piece.number]
            out += [
                (t, piece.segment, piece.loss, False, piece.prefix) for t in tokens[at : at + size]
            ]
    return out


def written(ragged: Ragged, i):
    part = slice(ragged.offsets[i], ragged.offsets[i + 1])
    columns = (ragged.ids, ragged.segment, ragged.loss, ragged.special, ragged.prefix)
    return [tuple(row) for row in zip(*(c[part] for c in columns), strict=True)]


def test_golden_pair():
    store = store_of([[[10, 11, 12]], [[20, 21]]])
    made = instances([0, 0, 1], [[0, 3], [1, 0], [3, 0]], [[3, 2], [2, 0], [2, 1]])
    ragged = gather(store.sides["src"], made, np.array([0, 1, 2]))
    assert ragged.ids.tolist() == [1, 10, 11, 12, 2, 20, 21, 3, 1, 11, 12, 2, 10, 20, 21, 4]
    assert ragged.offsets.tolist() == [0, 8, 12, 16]
    assert ragged.segment is not None
    assert ragged.segment.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert np.flatnonzero(ragged.special).tolist() == [0, 4, 7, 8, 11, 15]
    assert np.flatnonzero(ragged.loss).tolist() == [1, 2, 3, 7, 9, 10, 12, 13, 14]
    # Even tokens start words in the fake store; constants always do.
    assert np.flatnonzero(~ragged.word_start).tolist() == [2, 6, 9, 14]
    assert ragged.prefix is not None and np.flatnonzero(ragged.prefix).tolist() == [12]
    assert ragged.ids.dtype == np.int64 and ragged.offsets.dtype == np.int64
    assert made.lengths().tolist() == [8, 4, 4]


rows = st.lists(
    st.tuples(*[st.integers(0, 1)] + [st.integers(0, 20)] * 2 + [st.integers(0, 9)] * 2),
    min_size=1,
    max_size=12,
)


@given(rows=rows, data=st.data())
@settings(max_examples=60, deadline=None)
def test_gather_is_the_naive_loop_in_any_order(rows, data):
    store = store_of([[list(range(5, 35))]])
    made = instances([r[0] for r in rows], [r[1:3] for r in rows], [r[3:] for r in rows])
    which = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8)))
    ragged = gather(store.sides["src"], made, which)
    expected = [naive(store.sides["src"].tokens.tolist(), made, i) for i in which]
    assert [written(ragged, i) for i in range(len(which))] == expected
    assert ragged.lengths().tolist() == made.lengths()[which].tolist()
    assert ragged.which.tolist() == which.tolist()


def test_fields_that_no_layout_uses_are_absent():
    store = store_of([[[10, 11]]])
    made = instances([0], [[0]], [[2]], layouts=((Constant(1), Span(0)),))
    ragged = gather(store.sides["src"], made, np.array([0]))
    assert ragged.segment is None and ragged.prefix is None


def test_a_store_without_tokens_still_has_its_constants():
    store = store_of([[[]], []])
    made = instances([0, 1], [[0, 0]] * 2, [[0, 0]] * 2)
    assert gather(store.sides["src"], made, np.array([0, 1])).ids.tolist() == [1, 4]


def test_an_instance_costs_about_thirty_bytes():
    made = instances([0], [[0, 3]], [[3, 2]])
    assert sum(a.nbytes for a in (made.layout, made.start, made.length)) <= 30


def test_owners_positions_keep_and_join():
    store = store_of([[[10, 11, 12]], [[20, 21]]])
    made = instances([0, 1], [[0, 3], [3, 0]], [[2, 0], [1, 0]])
    side = store.sides["src"]
    ragged = gather(side, made, np.array([0, 1, 0]))
    assert ragged.ids.tolist() == [1, 10, 11, 2, 20, 4, 1, 10, 11, 2]
    assert ragged.owners().tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert ragged.positions().tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2, 3]
    text = ragged.keep(~ragged.special)
    assert text.ids.tolist() == [10, 11, 20, 10, 11]
    assert text.offsets.tolist() == [0, 2, 3, 5]
    parts = [gather(side, made, np.array(w)) for w in ([0, 1], [0])]
    joined = Ragged.join(parts)
    for name in ("ids", "offsets", "segment", "loss", "special", "word_start", "prefix", "which"):
        assert np.array_equal(getattr(joined, name), getattr(ragged, name)), name
