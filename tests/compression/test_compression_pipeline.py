import pytest
import torch
from compressing import CANDIDATES, build, context
from torch import nn

from ecoautoml.compression import STEPS
from ecoautoml.compression.base import CompressionStep
from ecoautoml.compression.pipeline import compress, legal_chains, steps_for
from ecoautoml.errors import ConfigError, TrialError
from ecoautoml.registry import Entry


class Extra(CompressionStep):
    """A step for tests that is asked for by its name."""

    keys = ("extra",)

    def is_asked(self, values):
        return self.name in str(values.get("extra", "")).split("+")

    def apply(self, network, context):
        return nn.Sequential(network, nn.Identity())


class Last(Extra):
    name, after = "last", frozenset({"sparsify"})


class Apart(Extra):
    name = "apart"


class Circle(Extra):
    name, after = "circle", frozenset({"square"})


class Square(Extra):
    name, after = "square", frozenset({"circle"})


class Orphan(Extra):
    name, after = "orphan", frozenset({"nobody"})


class Widening(Extra):
    name = "widening"

    def apply(self, network, context):
        return nn.Sequential(network, nn.Linear(5, 6))


class Breaking(Extra):
    name = "breaking"

    def apply(self, network, context):
        return nn.Sequential(network, nn.Linear(7, 5))


@pytest.fixture
def register(monkeypatch):
    def registered(*steps):
        entries = {
            step.name: Entry(name=step.name, target=f"{__name__}:{step.__name__}", description="-")
            for step in steps
        }
        monkeypatch.setattr(STEPS, "_entries", {**entries, **STEPS._entries})

    return registered


def names(**values):
    return tuple(step.name for step in steps_for(values))


def test_nothing_is_asked_for_by_a_space_without_compression():
    network = build(CANDIDATES["tiny-0"])
    assert names(method="none") == ()
    assert compress(network, context(method="none")) is network


def test_steps_come_in_their_order_whatever_the_values_order():
    assert names(sparsity="2:4", distil="logits", prune="taylor") == ("prune", "distil", "sparsify")
    assert names(sparsity="2:4", prune="taylor") == ("prune", "sparsify")


def test_a_step_stands_after_those_before_its_predecessors_too(register):
    register(Last)
    assert names(extra="last", prune="taylor") == ("prune", "last")
    assert ("prune", "distil", "sparsify", "last") in legal_chains()


def test_steps_of_which_neither_may_follow_the_other_are_not_combined(register):
    register(Apart)
    assert names(extra="apart") == ("apart",)
    assert ("apart",) in legal_chains()
    assert not any(len(chain) > 1 and "apart" in chain for chain in legal_chains())
    with pytest.raises(TrialError, match=r"apart and prune cannot|prune and apart cannot"):
        names(extra="apart", prune="taylor")


def test_a_circle_is_named(register):
    register(Circle, Square)
    with pytest.raises(ConfigError, match=r"go round in a circle: .*circle"):
        names(prune="taylor")


def test_an_absent_predecessor_is_named(register):
    register(Orphan)
    with pytest.raises(ConfigError, match="orphan comes after nobody, which is not registered"):
        legal_chains()


def test_a_step_that_spoils_the_network_is_named(register):
    register(Widening, Breaking)
    network = build(CANDIDATES["tiny-0"])
    with pytest.raises(TrialError, match=r"widening changed .* from \(1, 5\) to \(1, 6\)"):
        compress(network, context(extra="widening"))
    with pytest.raises(TrialError, match="breaking left a network that does not run"):
        compress(network, context(extra="breaking"))


def test_what_a_step_returns_is_what_comes_out(register):
    register(Apart)
    network = build(CANDIDATES["tiny-0"])
    made = compress(network, context(extra="apart"))
    assert made[0] is network
    assert made(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
