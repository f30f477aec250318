"""What a user can use of what a search may find."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import field_validator

from ecoautoml.config.constraints import Constraint
from ecoautoml.config.section import Section
from ecoautoml.records.columns import METRICS
from ecoautoml.registry import suggest


class Prefer(Section):
    """What you can use of what may be found; unlike a constraint, it rules nothing out.

    With `sampler: auto` the search looks where you can use the result. The front, the suggested
    model and the report follow with every sampler.
    """

    at_least: Mapping[str, float] = {}
    """A target, one score and its value: `{validation_accuracy: 0.93}` asks for the cheapest model
    (by the first cost among the objectives) with at least that. Better than that is worth no more,
    and once a model has reached it, only cheaper ones that reach it too are."""
    reference: Mapping[str, float] = {}
    """Worst value of use, by objective: a model beyond one of them counts for nothing, and is on
    the front only when no model is within them all. It bounds the hypervolume."""
    weights: Mapping[str, float] = {}
    """How much objectives count for the suggested model where no target is given, by objective; 1
    for those left out. With 2, a step along its range counts as two along another's."""

    @field_validator("at_least", mode="after")
    @classmethod
    def _check_target(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        if len(value) > 1:
            raise ValueError(
                f"one target is allowed, not {len(value)}; make the others constraints"
            )
        for name, target in value.items():
            _check_name(name)
            if not METRICS[name].is_score:
                raise ValueError(
                    f"{name} is a cost, so more of it is no target; limit it with a constraint "
                    f'("{name} <= NUMBER") or with prefer.reference'
                )
            _check_share(name, target, is_target=True)
        return value

    @field_validator("reference", mode="after")
    @classmethod
    def _check_reference(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        for name, worst in value.items():
            _check_name(name)
            if METRICS[name].is_score:
                _check_share(name, worst, is_target=False)
            elif not 0 < worst < math.inf:
                raise ValueError(
                    f"{name} is {worst:g}, and nothing costs less; allowed: numbers above 0"
                )
        return value

    @field_validator("weights", mode="after")
    @classmethod
    def _check_weights(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        for name, weight in value.items():
            _check_name(name)
            if not 0 < weight < math.inf:
                raise ValueError(f"{name} is {weight:g}; allowed: numbers above 0")
        return value

    @property
    def target(self) -> tuple[str, float] | None:
        """Return the score that is aimed at, and its value; None without a target."""
        return next(iter(self.at_least.items()), None)

    def reference_row(self, objectives: Sequence[str]) -> list[float]:
        """Return the worst value of use of each objective; NaN where none is given."""
        return [self.reference.get(name, math.nan) for name in objectives]

    def is_within(self, metrics: Mapping[str, float]) -> bool:
        """Return whether no value is beyond the reference; unknown ones are not."""
        return all(
            METRICS[name].loss(metrics[name]) <= METRICS[name].loss(worst)
            for name, worst in self.reference.items()
            if name in metrics
        )

    def check(self, objectives: Sequence[str], constraints: Sequence[Constraint]) -> None:
        """Refuse what does not go with the rest of a configuration.

        Raises:
            ValueError: One sentence that names the key.
        """
        for key in ("at_least", "reference", "weights"):
            for name in getattr(self, key):
                if name not in objectives:
                    raise ValueError(
                        f"prefer.{key} names {name}, which is no objective; add it to objectives, "
                        f"or name one of {', '.join(objectives)}"
                    )
        if self.target is not None:
            self._check_target_with(objectives, constraints)

    def _check_target_with(
        self, objectives: Sequence[str], constraints: Sequence[Constraint]
    ) -> None:
        assert self.target is not None
        name, target = self.target
        if all(METRICS[one].is_score for one in objectives):
            raise ValueError(
                "prefer.at_least asks for the cheapest model that reaches it, but no objective is "
                "a cost; add one, such as inference_energy_j"
            )
        if self.reference.get(name, -math.inf) >= target:
            raise ValueError(
                f"prefer.reference.{name} is {self.reference[name]:g}, but must be below the "
                f"target in prefer.at_least ({target:g})"
            )
        for one in constraints:
            if one.metric == name and one.operator == ">=" and one.limit >= target:
                raise ValueError(
                    f"prefer.at_least.{name} is {target:g}, which every model reaches that keeps "
                    f'to the constraint "{one.text}"; take a higher target, or leave it out and '
                    "the knee is suggested"
                )


NOTHING = Prefer()
"""Nothing was asked for."""


def _check_name(name: str) -> None:
    if name not in METRICS:
        raise ValueError(f"no metric is called {name!r}{suggest(name, METRICS)}")


def _check_share(name: str, value: float, *, is_target: bool) -> None:
    """Refuse a score nobody can have, or as a worst value the best there is."""
    if 0 < value < 1 or (value == 1 and is_target) or (value == 0 and not is_target):
        return
    hint = f" ({value:g} % is {value / 100:g})" if 1 < value < 100 else ""
    what = "above 0, at most 1" if is_target else "from 0 to below 1"
    raise ValueError(f"{name} is {value:g}; allowed: numbers {what}{hint}")
