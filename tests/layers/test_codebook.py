"""A codebook: nearest codes, gradients, running means and splits."""

import copy

import pytest
import torch
from torch.nn import functional as F

from uer.errors import ConfigError
from uer.layers.codebook import Codebook, perplexity


def book(size=6, width=4, decay=None, commitment=0.25):
    torch.manual_seed(0)
    return Codebook(size, width, commitment=commitment, decay=decay)


def test_the_nearest_code_is_chosen_and_gradients_pass():
    codebook, vectors = book(), torch.randn(9, 4, requires_grad=True)
    with torch.no_grad():
        codebook.table.mul_(3.0)
    coded = codebook(vectors)
    units, codes = F.normalize(vectors, dim=-1), F.normalize(codebook.table, dim=-1)
    distances = torch.cdist(units, codes)
    assert torch.equal(coded.codes, distances.argmin(-1))
    torch.testing.assert_close(coded.vectors, codes[coded.codes])
    torch.testing.assert_close(coded.loss, 1.25 * distances.min(-1).values.square().sum())
    assert torch.equal(codebook.codes(vectors), coded.codes)
    assert torch.equal(codebook.vectors(coded.codes), codes[coded.codes])
    wish = torch.randn(9, 4)
    (given,) = torch.autograd.grad((coded.vectors * wish).sum(), vectors, retain_graph=True)
    (straight,) = torch.autograd.grad((units * wish).sum(), vectors, retain_graph=True)
    torch.testing.assert_close(given, straight)
    commitment, learnt = torch.autograd.grad(coded.loss, (vectors, codebook.table))
    chosen = codes.detach()[coded.codes]
    (expected,) = torch.autograd.grad(0.25 * (units - chosen).square().sum(), vectors)
    torch.testing.assert_close(commitment, expected)
    again = F.normalize(codebook.table, dim=-1)[coded.codes]
    pulled = (units.detach() - again).square().sum()
    torch.testing.assert_close(learnt, torch.autograd.grad(pulled, codebook.table)[0])


def test_running_codes_follow_what_chose_them():
    codebook = book(size=3, decay=0.9).train()
    before, vectors = codebook.table.clone(), torch.randn(30, 4)
    codes = torch.cat([codebook(half).codes for half in vectors.split(15)])  # two micro-batches
    assert not list(codebook.parameters())
    codebook.on_update(1, 10)
    units = F.normalize(vectors, dim=-1)
    for code in range(3):
        share = (codes == code).float().mean()
        assert share > 0.04  # of a codebook where nothing is dead
        old, new = 0.9 / 3, 0.1 * share
        mean = (old * before[code] + new * units[codes == code].mean(0)) / (old + new)
        torch.testing.assert_close(codebook.table[code], F.normalize(mean, dim=0))
        torch.testing.assert_close(codebook.sizes[code], old + new)
    codebook.eval()(vectors)
    kept = codebook.table.clone()
    codebook.on_update(2, 10)
    torch.testing.assert_close(codebook.table, kept)


def test_a_codebook_that_began_in_the_wrong_place_spreads_by_splitting():
    centres = F.normalize(torch.randn(16, 8), dim=-1)
    codebook = book(size=16, width=8, decay=0.8).train()
    with torch.no_grad():
        codebook.table.copy_(F.normalize(torch.ones(16, 8) + 0.01 * torch.randn(16, 8), dim=-1))
    for step in range(1, 200):
        codes = codebook(centres[torch.randint(16, (256,))] + 0.02 * torch.randn(256, 8)).codes
        codebook.on_update(step, 200)
    assert perplexity(codes, 16) > 12
    twin = copy.deepcopy(codebook)
    for one in (codebook, twin):
        one(centres)
        one.on_update(200, 200)
    assert torch.equal(codebook.table, twin.table)
    assert torch.allclose(codebook.table.norm(dim=-1), torch.ones(16))


def test_perplexity_counts_codes_in_even_use():
    assert perplexity(torch.tensor([1, 1, 1]), 5) == pytest.approx(1.0)
    assert perplexity(torch.arange(5).repeat(3), 5) == pytest.approx(5.0)
    expected = torch.distributions.Categorical(torch.tensor([0.75, 0.25])).entropy().exp()
    torch.testing.assert_close(perplexity(torch.tensor([0, 0, 0, 3]), 5), expected)
    assert perplexity(torch.zeros(0, dtype=torch.int64), 5) == 0


def test_impossible_codebooks_are_refused():
    for values in ({"size": 1}, {"width": 0}, {"decay": 1.0}):
        with pytest.raises(ConfigError, match="codebook"):
            book(**values)
