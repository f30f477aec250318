"""The pruner for studies of one's own."""

import math
import subprocess
import sys

import numpy as np
import optuna
import pytest

from ecoautoml.strategies import EnergyFirstSampler, FrontPruner
from ecoautoml.strategies.optuna_study.losses import ErrorScale
from ecoautoml.strategies.optuna_study.reading import reports_of

STEPS = 10
TWO = ("minimize", "minimize")


def error(quality, step):
    """Give the error of a training that falls towards ``quality``."""
    return quality + (0.9 - quality) * math.exp(-step / 2.0)


def size(params):
    return params["size"]


def objective_with(pruner, qualities, *, values=None, costs=False):
    """Return an objective whose trials reach the qualities in turn; sizes are 10, 20, 30, 10 ..."""

    def objective(trial):
        cost = trial.suggest_float("size", 1.0, 100.0)
        quality = qualities[trial.number]
        for step in range(1, STEPS + 1):
            now = error(quality, step)
            reported = [now, cost if costs else None] if values is None else values(now, cost)
            pruner.report(trial, step, reported)
            if pruner.should_prune(trial):
                raise optuna.TrialPruned
        return (now, cost) if values is None else tuple(values(now, cost))

    return objective


def study_with(pruner, qualities, sizes, *, directions=TWO, storage=None, **options):
    study = optuna.create_study(directions=list(directions), storage=storage, study_name="s")
    for each in sizes:
        study.enqueue_trial({"size": each})
    study.optimize(objective_with(pruner, qualities, **options), n_trials=len(sizes))
    return study


def is_pruned(study):
    return [trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials]


def n_reports(trial):
    return len(reports_of(trial.user_attrs))


FIRST = [0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
"""Good trials of size 10, each better than those before it."""
CASES = [
    (0.50, 20.0, True),  # far worse, and dearer
    (0.50, 10.0, True),  # far worse, as dear
    (0.50, 5.0, False),  # far worse, but the cheapest
    (0.05, 20.0, False),  # better
]
each_rule = pytest.mark.parametrize(
    "rule",
    [
        {"kind": "auto", "control_share": 0.0},
        "dominance",
        "median",
        {"kind": "patience", "epochs": 2, "min_delta": 0.05},
    ],
    ids=["auto", "dominance", "median", "patience"],
)


@each_rule
@pytest.mark.parametrize(("quality", "cost", "is_stopped"), CASES)
def test_only_what_is_worse_for_no_less_cost_is_stopped(rule, quality, cost, is_stopped):
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule=rule)
    study = study_with(pruner, [*FIRST, quality], [10.0] * 6 + [cost])
    assert is_pruned(study) == [False] * 6 + [is_stopped]
    if is_stopped:
        assert n_reports(study.trials[-1]) < STEPS
        assert "after epoch" in study.trials[-1].user_attrs["front_pruner:reason"]


def test_nothing_is_stopped_before_a_few_have_finished():
    study = study_with(FrontPruner(steps=STEPS, costs={1: size}), [0.1, 0.5, 0.5], [10.0, 20, 30])
    assert not any(is_pruned(study))


def test_training_is_saved_and_the_front_is_kept():
    chance = np.random.default_rng(0)
    qualities, sizes = chance.uniform(0.05, 0.6, 60), chance.uniform(1.0, 100.0, 60)
    qualities += 0.1 / np.sqrt(sizes)
    whole = study_with(
        FrontPruner(steps=STEPS, rule="none", costs=[1]), qualities, sizes, costs=True
    )
    pruner = FrontPruner(steps=STEPS, costs={1: size})
    saving = study_with(pruner, qualities, sizes)
    assert {one.number for one in saving.best_trials} == {one.number for one in whole.best_trials}
    assert sum(map(n_reports, saving.trials)) < 0.8 * sum(map(n_reports, whole.trials))


def test_a_cost_may_be_reported_once_instead_of_being_computed():
    pruner = FrontPruner(steps=STEPS, costs=[1], rule="dominance")

    def objective(trial):
        cost = trial.suggest_float("size", 1.0, 100.0)
        pruner.report(trial, 0, [None, cost])
        return objective_with(pruner, qualities)(trial)

    qualities = [*FIRST, 0.5, 0.5]
    study = optuna.create_study(directions=list(TWO))
    for each in [10.0] * 6 + [20.0, 5.0]:
        study.enqueue_trial({"size": each})
    study.optimize(objective, n_trials=8)
    assert is_pruned(study) == [False] * 6 + [True, False]


def test_nothing_is_stopped_while_an_objective_is_unknown():
    pruner = FrontPruner(steps=STEPS, costs=[1], rule="dominance")  # and it is never reported
    study = study_with(pruner, [*FIRST, 0.5], [10.0] * 6 + [20.0])
    assert not any(is_pruned(study))


@pytest.mark.parametrize(
    ("directions", "values"),
    [
        (("maximize", "minimize"), lambda error, cost: [1.0 - error, cost]),
        (("maximize", "maximize"), lambda error, cost: [-1000.0 * error, -cost]),
        (("minimize", "minimize"), lambda error, cost: [7.0 * error, cost]),
        (("minimize", "minimize"), lambda error, cost: [error - 5.0, cost - 50.0]),
    ],
    ids=["accuracy", "negative", "large", "shifted"],
)
@each_rule
def test_direction_sign_and_size_of_objectives_do_not_matter(rule, directions, values):
    for quality, cost, is_stopped in CASES:
        pruner = FrontPruner(steps=STEPS, costs=[1], rule=rule)
        study = study_with(
            pruner, [*FIRST, quality], [10.0] * 6 + [cost], directions=directions, values=values
        )
        assert is_pruned(study)[-1] == is_stopped, (quality, cost)


def test_reports_are_in_the_storage_where_another_process_finds_them(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule="dominance")
    study_with(pruner, FIRST, [10.0] * 6, storage=url)
    code = (
        "import sys, optuna\n"
        "from ecoautoml.strategies import FrontPruner\n"
        "study = optuna.load_study(study_name='s', storage=sys.argv[1])\n"
        "costs = {1: lambda params: params['size']}\n"
        "pruner = FrontPruner(steps=10, costs=costs, rule='dominance')\n"
        "study.enqueue_trial({'size': 20.0})\n"
        "trial = study.ask()\n"
        "trial.suggest_float('size', 1.0, 100.0)\n"
        "for step in range(1, 6):\n"
        "    pruner.report(trial, step, [0.8, None])\n"
        "assert pruner.should_prune(trial)\n"
        "study.tell(trial, state=optuna.trial.TrialState.PRUNED)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    last = optuna.load_study(study_name="s", storage=url).trials[-1]
    assert "front_pruner:reason" in last.user_attrs
    assert n_reports(last) == 5


def test_some_run_on_to_show_how_many_stops_are_wrong():
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule={"kind": "auto", "control_share": 1.0})
    study = study_with(pruner, [*FIRST, 0.5], [10.0] * 6 + [20.0])
    assert not any(is_pruned(study))
    assert 0 < study.trials[-1].user_attrs["front_pruner:would_have_stopped"] < STEPS


def test_in_shadow_mode_nothing_is_stopped_but_noted():
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule={"kind": "dominance", "shadow": True})
    study = study_with(pruner, [*FIRST, 0.5], [10.0] * 6 + [20.0])
    assert not any(is_pruned(study))
    assert 0 < study.trials[-1].user_attrs["front_pruner:would_have_stopped"] < STEPS


def test_infeasible_and_failed_trials_stop_nobody():
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule="dominance")

    def objective(trial):
        if trial.number < 3:
            trial.set_constraint("memory", 1.0)
        found = objective_with(pruner, [0.1] * 6 + [0.5])(trial)
        if trial.number in range(3, 6):
            raise RuntimeError("out of memory")
        return found

    study = optuna.create_study(directions=list(TWO))
    for _ in range(7):
        study.enqueue_trial({"size": 10.0})
    study.optimize(objective, n_trials=7, catch=(RuntimeError,))
    assert not any(is_pruned(study))


def test_nan_and_infinite_reports_count_as_the_worst():
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule="dominance")
    study = study_with(pruner, FIRST, [10.0] * 6)
    for bad in (math.nan, math.inf):
        study.enqueue_trial({"size": 20.0})
        trial = study.ask()
        trial.suggest_float("size", 1.0, 100.0)
        for step in range(1, 6):
            pruner.report(trial, step, [bad, None])
        assert pruner.should_prune(trial)


def test_one_objective_and_a_number_of_steps_of_each_trial():
    pruner = FrontPruner(steps=lambda params: params["epochs"], rule="median")

    def objective(trial):
        epochs = trial.suggest_int("epochs", 4, 12)
        quality = 0.1 if trial.number < 8 else 0.6
        for step in range(1, epochs + 1):
            pruner.report(trial, step, np.float32(error(quality, step)))
            if pruner.should_prune(trial):
                raise optuna.TrialPruned
        return error(quality, epochs)

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=9)
    assert is_pruned(study) == [False] * 8 + [True]


def test_steps_may_begin_anywhere_and_have_gaps():
    pruner = FrontPruner(steps=STEPS, costs={1: size}, rule={"kind": "auto", "control_share": 0.0})

    def objective(trial):
        cost = trial.suggest_float("size", 1.0, 100.0)
        quality = 0.5 if trial.number == 6 else FIRST[trial.number]
        for batch in range(0, 100 * STEPS, 100):
            now = error(quality, batch // 100 + 1)
            pruner.report(trial, batch, [now, None])
            if pruner.should_prune(trial):
                raise optuna.TrialPruned
        return now, cost

    study = optuna.create_study(directions=list(TWO))
    for each in [10.0] * 6 + [20.0]:
        study.enqueue_trial({"size": each})
    study.optimize(objective, n_trials=7)
    assert is_pruned(study) == [False] * 6 + [True]


def test_what_a_pruned_trial_reported_teaches_the_sampler():
    def final(x):
        return 0.05 + 0.6 * x

    def run(tells):
        pruner = FrontPruner(steps=STEPS, costs={1: size}, rule="dominance")

        def objective(trial):
            x, _ = trial.suggest_float("x", 0, 1), trial.suggest_float("size", 1.0, 100.0)
            for step in range(1, 5):
                if tells:
                    pruner.report(trial, step, [error(final(x), step), None])
            raise optuna.TrialPruned

        def complete(trial):
            x, cost = trial.suggest_float("x", 0, 1), trial.suggest_float("size", 1.0, 100.0)
            return final(x), cost

        study = optuna.create_study(
            directions=list(TWO), sampler=EnergyFirstSampler(costs={1: size}, seed=0)
        )
        study.enqueue_trial({"x": 0.5, "size": 50.0})
        study.optimize(complete, n_trials=1)
        study.optimize(objective, n_trials=30)
        study.optimize(complete, n_trials=10)
        return np.mean([trial.params["x"] for trial in study.trials[-10:]])

    assert run(tells=True) < 0.4


def test_a_trial_without_a_study_is_not_stopped():
    trial = optuna.trial.FixedTrial({"size": 10.0})
    pruner = FrontPruner(steps=STEPS, costs={1: size})
    assert objective_with(pruner, [0.3])(trial)[0] == pytest.approx(error(0.3, STEPS))


@pytest.mark.parametrize("kind", ["halving", "hyperband"])
def test_rules_that_pause_trials_are_refused(kind):
    with pytest.raises(ValueError, match="pauses"):
        FrontPruner(steps=STEPS, rule=kind)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps is 0: expected an integer from 1, or a function"),
        ({"steps": STEPS, "costs": [-1]}, "costs names objective -1: they are numbered from 0"),
        ({"steps": STEPS, "costs": ["macs"]}, "costs names objective 'macs': they are numbered"),
        ({"steps": STEPS, "rule": "best"}, "'rule' is 'best'; allowed: auto, dominance, "),
        ({"steps": STEPS, "rule": {"alpha": 2}}, "'rule.alpha' is 2: input should be less than 1"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError) as raised:
        FrontPruner(**arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_mistakes_that_show_in_a_study_are_named():
    study = optuna.create_study(directions=list(TWO))
    trial = study.ask()
    pruner = FrontPruner(steps=STEPS)
    with pytest.raises(ValueError, match="1 values for 2 objectives"):
        pruner.report(trial, 1, [0.3])
    with pytest.raises(ValueError, match="names objective 2: they are numbered from 0 to 1"):
        FrontPruner(steps=STEPS, costs={2: size}).should_prune(trial)
    with pytest.raises(ValueError, match="names all objectives"):
        FrontPruner(steps=STEPS, costs=[0, 1]).should_prune(trial)
    with pytest.raises(ValueError, match=r"costs\[1\] gave None for {}: expected a number"):
        FrontPruner(steps=STEPS, costs={1: lambda params: None}).should_prune(trial)
    study.tell(trial, [0.3, 1.0])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError, match="already finished"):
        pruner.report(trial, 2, [0.3, 1.0])


@pytest.mark.parametrize(
    ("values", "sign"),
    [
        ([0.1, 0.5, 0.9], 1.0),
        ([0.1, 0.5, 0.9], -1.0),
        ([2.3, 0.4, 0.01], 1.0),
        ([1000.1, 1000.2, 1000.4], 1.0),
        ([-5.0, 0.0, 1e9], -1.0),
    ],
)
def test_errors_lie_within_0_and_1_in_the_order_of_the_losses(values, sign):
    given = np.array(values)
    scale = ErrorScale.of(given, sign)
    errors = scale.errors(given)
    assert ((errors >= 0) & (errors <= 1)).all()
    assert (np.diff(errors[np.argsort(sign * given)]) >= 0).all()
    assert len(set(errors)) > 1
    assert scale.errors(np.array(math.nan)) == 1.0


def test_errors_and_scores_within_0_and_1_stay_and_losses_keep_their_ratios():
    scores = np.array([0.25, 0.75])
    np.testing.assert_allclose(ErrorScale.of(scores, -1.0).errors(scores), [0.75, 0.25])
    np.testing.assert_allclose(ErrorScale.of(scores, 1.0).errors(scores), [0.25, 0.75])
    losses = np.array([0.5, 1.0, 2.0])
    errors = ErrorScale.of(losses, 1.0).errors(losses)
    np.testing.assert_allclose(errors / errors[0], [1.0, 2.0, 4.0])
