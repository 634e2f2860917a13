import pytest
import torch

from uer.batch import Batch
from uer.errors import DataError

IDS = torch.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    "name",
    ["src.ids", "tgt.0.segment", "ids", "labels.mlm.index", "labels.topic.value", "view.first"],
)
def test_names_of_the_vocabulary(name):
    assert Batch({name: IDS})[name] is IDS


@pytest.mark.parametrize("name", ["src.idz", "labels.mlm", "src", "labels.mlm.weight", ""])
def test_other_names_are_refused(name):
    with pytest.raises(DataError, match=rf"a batch has no field '{name}'.*uer/batch\.py"):
        Batch({name: IDS})


def test_a_near_miss_is_named():
    with pytest.raises(DataError, match="did you mean 'segment'"):
        Batch({"src.segmnt": IDS})


def test_a_missing_field_says_what_there_is():
    batch = Batch({"src.ids": IDS, "src.length": IDS[0]})
    with pytest.raises(DataError, match=r"no field 'src\.segment'; it has: src\.ids, src\.length"):
        batch["src.segment"]
    with pytest.raises(DataError, match="it has: nothing"):
        Batch({})["src.ids"]
    assert batch.get("src.segment") is None and "src.segment" not in batch


def test_a_side_is_seen_without_its_prefix():
    batch = Batch({"src.0.ids": IDS, "src.1.ids": IDS + 1, "srcs.ids": IDS, "tgt.ids": IDS})
    assert set(batch.side("src")) == {"0.ids", "1.ids"}
    assert set(batch.side("src").side("1")) == {"ids"}
    assert torch.equal(batch.side("src").side("1")["ids"], IDS + 1)


def test_replacing_leaves_the_original_alone():
    batch = Batch({"src.ids": IDS})
    other = batch.replace(src__ids=IDS + 1, src__length=IDS[0])
    assert torch.equal(batch["src.ids"], IDS) and len(batch) == 1
    assert torch.equal(other["src.ids"], IDS + 1) and list(other) == ["src.ids", "src.length"]
    with pytest.raises(DataError):
        batch.replace(src__idz=IDS)


def test_the_mapping_given_is_copied():
    fields = {"src.ids": IDS}
    batch = Batch(fields)
    fields["src.length"] = IDS
    assert "src.length" not in batch


def test_moving_keeps_every_field():
    batch = Batch({"src.ids": IDS, "labels.cls.value": IDS[0]}).to(torch.device("meta"))
    assert {value.device.type for value in batch.values()} == {"meta"} and len(batch) == 2


def test_tokens_are_the_real_ones_of_all_sides():
    batch = Batch(
        {"src.ids": IDS, "src.length": torch.tensor([3, 2]), "tgt.length": torch.tensor([4])}
    )
    assert batch.tokens() == 9
