"""What must hold of a model that the predecessors, or a reference of them, have computed."""

import torch
from legacy_packs import batch_of, built, hiddens, returned

from uer.interop.legacy.checkpoint import read_legacy, write_legacy

CLOSE = {"atol": 1e-4, "rtol": 0}


def check(config, path, case, folder):
    """Read their checkpoint, compute their case, write the checkpoint back.

    Args:
        config: their flat configuration.
        path: their checkpoint.
        case: what they were given and returned.
        folder: where to write.
    """
    theirs = torch.load(path, weights_only=True)
    model = built(config, theirs)
    model.load_state_dict(read_legacy(path))
    batch = batch_of(case, model.targets, prefix_lm_loss=config.get("prefix_lm_loss", False))
    with torch.no_grad():
        embedded = model.embedding(batch.side("src"), None)
        made = {"embedding": embedded, "encoder": model.encoder(embedded)}
        if model.decoder is not None:
            made["decoder"] = model.states(batch)
        scores = model(batch)
    for name, states in made.items():
        expected = hiddens(case, name)
        assert expected
        pairs = zip(states.streams or (states,), expected, strict=True)
        for ours, (hidden, real) in pairs:
            torch.testing.assert_close(ours.hidden[real], hidden[real], **CLOSE)
    for name, score in scores.items():
        loss, right = returned(case, name)
        torch.testing.assert_close(score.loss_sum / model.weights(batch)[name], loss, **CLOSE)
        if right is not None:
            assert score.metrics["accuracy"].total == right
    assert write_legacy(model, folder / "back.bin") == []
    same_tensors(torch.load(folder / "back.bin", weights_only=True), theirs)


def same_tensors(ours, theirs):
    """Bit for bit, but for what counts nowhere: see `write_legacy`."""
    assert ours.keys() == theirs.keys()
    layers = any(".relative_pos_emb." in key and ".transformer." in key for key in theirs)
    for key, value in theirs.items():
        if key.endswith("encoder.relative_pos_emb.relative_attention_bias.weight") and layers:
            continue
        mine = ours[key]
        if key.endswith("seg.embedding.weight"):
            mine, value = mine[1:], value[1:]
        assert torch.equal(mine, value), key
