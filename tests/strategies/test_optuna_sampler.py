"""The sampler for studies of one's own, beyond what Optuna's suite asks of any sampler."""

import copy
import math
import pickle
import subprocess
import sys
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from ecoautoml.pareto import hypervolume
from ecoautoml.strategies import EnergyFirstSampler
from ecoautoml.strategies.optuna_study.losses import CostScale, Scale
from ecoautoml.strategies.optuna_study.planning import Task
from ecoautoml.strategies.optuna_study.reading import StudyReader
from ecoautoml.strategies.optuna_study.space import Axis, StudySpace

TWO = ("minimize", "minimize")


def network(trial):
    """Give a network's shape and training, some of it conditional."""
    layers = trial.suggest_int("layers", 1, 3)
    for layer in range(layers):
        trial.suggest_int(f"width{layer}", 8, 64, step=8)
    trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
        trial.suggest_float("momentum", 0.0, 0.99)
    return trial.params


def macs(params):
    return float(sum(params[f"width{layer}"] ** 2 for layer in range(params["layers"])))


def error(params):
    rate = math.log10(params["rate"]) + 2.5
    return macs(params) ** -0.3 + 0.05 * rate**2 + 0.1 * (params.get("momentum", 0.5) - 0.9) ** 2


def both(trial):
    params = network(trial)
    return error(params), macs(params)


def run(sampler, objective=both, n=30, directions=TWO, **options):
    study = optuna.create_study(directions=list(directions), sampler=sampler)
    study.optimize(objective, n_trials=n, **options)
    return study


def all_params(study):
    return [trial.params for trial in study.trials]


def found(study):
    """Return the hypervolume of errors and logarithms of the cost."""
    losses = np.array([[one.values[0], math.log(one.values[1])] for one in study.best_trials])
    return hypervolume(losses, np.array([1.0, 10.0]))


# --- what it finds --------------------------------------------------------------------------------


def test_more_is_found_than_by_chance():
    ours, chance = (
        [found(run(make(seed), n=40)) for seed in range(3)]
        for make in (
            lambda seed: EnergyFirstSampler(costs={1: macs}, seed=seed),
            lambda seed: optuna.samplers.RandomSampler(seed=seed),
        )
    )
    assert np.median(ours) > max(chance)


def test_more_is_found_than_by_chance_when_no_objective_is_known():
    ours = [found(run(EnergyFirstSampler(seed=seed), n=40)) for seed in range(3)]
    chance = [found(run(optuna.samplers.RandomSampler(seed=seed), n=40)) for seed in range(3)]
    assert np.median(ours) > np.median(chance)


def test_one_objective_is_minimised():
    def bowl(trial):
        x, y = (trial.suggest_float(name, -5.0, 5.0) for name in "xy")
        return (x - 1.0) ** 2 + (y + 2.0) ** 2

    ours = [run(EnergyFirstSampler(seed=s), bowl, 40, ["minimize"]) for s in range(3)]
    chance = [run(optuna.samplers.RandomSampler(seed=s), bowl, 40, ["minimize"]) for s in range(3)]
    assert np.median([one.best_value for one in ours]) < min(one.best_value for one in chance)


def test_a_known_cost_spreads_the_first_trials_over_its_range():
    study = run(EnergyFirstSampler(costs={1: macs}, seed=0, n_startup_trials=16), n=16)
    costs = sorted(trial.values[1] for trial in study.trials)
    draws = run(optuna.samplers.RandomSampler(seed=0), n=300)
    parts = np.quantile([trial.values[1] for trial in draws.trials], [0.25, 0.5, 0.75])
    counts = np.bincount(np.searchsorted(parts, costs), minlength=4)
    assert counts.min() >= 2


def test_what_cannot_be_built_is_not_proposed():
    def limited(params):
        return macs(params) if macs(params) < 4000 else math.inf

    study = run(EnergyFirstSampler(costs={1: limited}, seed=0), n=30)
    later = [trial.values[1] for trial in study.trials if trial.number > 5]
    assert max(later) < 4000


def test_constraints_are_learnt_and_what_violates_them_is_avoided():
    def limited(trial):
        x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
        trial.set_constraint("half", x - 0.5)  # the best lies where it is violated
        return (1.0 - x) ** 2 + (y - 0.3) ** 2, y

    study = run(EnergyFirstSampler(seed=0), limited, 50)
    late = [trial.params["x"] for trial in study.trials[25:]]
    assert np.mean(np.array(late) <= 0.5) > 0.6
    assert max(trial.params["x"] for trial in study.trials if trial.params["x"] <= 0.5) > 0.45


def test_cheap_trainings_are_preferred_when_the_price_is_known():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.suggest_int("epochs", 1, 50)
        return (x - 0.3) ** 2, 1.0 + x

    def mean_epochs(price):
        study = run(EnergyFirstSampler(seed=3, price=price), objective, 40)
        return np.mean([trial.params["epochs"] for trial in study.trials[16:]])

    assert mean_epochs(lambda params: params["epochs"]) < mean_epochs(None)


# --- objectives of any kind -----------------------------------------------------------------------


def test_direction_and_unit_of_an_objective_change_nothing():
    def turned(trial):
        one, two = both(trial)
        return -1024.0 * one, two

    plain = run(EnergyFirstSampler(costs={1: macs}, seed=5))
    other = run(
        EnergyFirstSampler(costs={1: macs}, seed=5), turned, directions=("maximize", TWO[1])
    )
    assert all_params(plain) == all_params(other)


def test_a_known_cost_may_be_negative_and_maximised():
    def savings(params):
        return 1000.0 - macs(params)

    def objective(trial):
        params = network(trial)
        return error(params), savings(params)

    def median(make):
        values = []
        for seed in range(3):
            study = run(make(seed), objective, 40, (TWO[0], "maximize"))
            losses = [
                [one.values[0], math.log(1000.0 - one.values[1])] for one in study.best_trials
            ]
            values.append(hypervolume(np.array(losses), np.array([1.0, 10.0])))
        return np.median(values)

    by_chance = median(lambda seed: optuna.samplers.RandomSampler(seed=seed))
    assert median(lambda seed: EnergyFirstSampler(costs={1: savings}, seed=seed)) > by_chance


def test_four_objectives_and_infinite_values_are_taken():
    def objective(trial):
        params = network(trial)
        worst = math.inf if params["layers"] == 3 else 1.0
        return (
            error(params),
            macs(params),
            worst,
            -math.inf if trial.number == 7 else params["rate"],
        )

    study = run(EnergyFirstSampler(costs={1: macs}, seed=0), objective, 30, ["minimize"] * 4)
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)


def test_failed_and_pruned_trials_are_survived():
    def objective(trial):
        params = network(trial)
        if trial.number % 4 == 1:
            raise optuna.TrialPruned
        if trial.number % 4 == 2:
            return math.nan, 1.0
        if trial.number % 4 == 3:
            raise RuntimeError("out of memory")
        return error(params), macs(params)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = run(
            EnergyFirstSampler(costs={1: macs}, seed=0), objective, 60, catch=(RuntimeError,)
        )
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) == 15
    assert states.count(TrialState.PRUNED) == 15


def test_losses_become_positive_and_keep_their_order():
    losses = np.array([-3e200, -1.0, 0.0, 1e-5, 2.0, 7e10])
    scale = Scale.of(losses)
    assert (scale.positive(losses) > 0).all()
    assert (np.diff(scale.positive(losses)) >= 0).all()
    ends = scale.positive(np.array([-math.inf, math.inf, math.nan]))
    assert 0 < ends[0] <= scale.positive(losses).min()
    assert ends[1] >= scale.positive(losses).max()
    assert math.isnan(ends[2])


def test_the_least_loss_becomes_one_and_the_lower_quartile_two():
    losses = np.array([0.1, 0.2, 0.3, 0.4, 0.9])
    np.testing.assert_allclose(Scale.of(losses).positive(losses), [1.0, 2.0, 3.0, 4.0, 9.0])
    np.testing.assert_allclose(Scale.of(losses - 5.0).positive(losses - 5.0), [1, 2, 3, 4, 9])


def test_equal_losses_have_a_scale():
    assert Scale.of(np.full(4, 0.25)).positive(np.array([0.25])) == 1.0
    assert Scale.of(np.array([])).positive(np.array([0.0])) == 1.0


def test_positive_costs_keep_their_ratios_and_others_their_order():
    for unit in (1.0, 1e-15):  # joules, or kilowatt-hours of little
        costs = unit * np.array([1e3, 2e5, 7.0])
        positive = CostScale.of(costs, is_positive=True).positive(costs)
        np.testing.assert_allclose(positive / positive[0], costs / costs[0])
        assert np.median(positive) == 1.0
    signed = np.array([-5.0, 0.0, 2.0, 1e9])
    positive = CostScale.of(signed, is_positive=True).positive(signed)
    assert (positive > 0).all()
    assert (np.diff(positive) > 0).all()


# --- the space, as trials show it -----------------------------------------------------------------


def space_of(objective, n=40):
    study = run(optuna.samplers.RandomSampler(seed=0), objective, n, ["minimize"])
    return StudySpace.of(study.trials), study


def conditions(space, name):
    return [(one.name, one.values, one.above) for one in space.conditions[name]]


def test_depth_decides_which_layers_there_are():
    space, study = space_of(lambda trial: error(network(trial)))
    assert conditions(space, "width0") == []
    assert conditions(space, "width1") == [("layers", None, 1.0)]
    assert conditions(space, "width2") == [("layers", None, 2.0)]
    assert conditions(space, "momentum") == [("optimizer", ("0: 'sgd'",), None)]
    assert all(space.explains(trial) for trial in study.trials)


def test_two_conditions_at_once_and_nested_ones_are_found():
    def objective(trial):
        a = trial.suggest_categorical("a", ["x", "y", "z"])
        b = trial.suggest_categorical("b", [True, False])
        value = trial.suggest_float("both", 0, 1) if a == "x" and b else 0.0
        if a == "y" and trial.suggest_categorical("c", [None, "deep"]) == "deep":
            value += trial.suggest_float("nested", 0, 1)
        return value

    space, study = space_of(objective, 80)
    assert sorted(name for name, *_ in conditions(space, "both")) == ["a", "b"]
    assert [name for name, *_ in conditions(space, "nested")] == ["c"]
    assert all(space.explains(trial) for trial in study.trials)


def test_what_nothing_explains_counts_as_always_there():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        return x + (trial.suggest_float("now_and_then", 0, 1) if trial.number % 3 else 0.0)

    space, study = space_of(objective)
    assert space.unexplained == {"now_and_then"}
    assert space.conditions["now_and_then"] == ()
    assert all(space.explains(trial) for trial in study.trials)


def test_a_range_that_changes_from_trial_to_trial_is_left_to_chance():
    def objective(trial):
        n = trial.suggest_int("n", 1, 5)
        trial.suggest_int("below", 0, n)
        trial.suggest_int("only", 3, 3)
        return n

    space, _ = space_of(objective)
    assert set(space.axes) == {"n"}
    assert space.changing == {"below"}
    assert space.constants == {"only": 3}
    study = run(EnergyFirstSampler(seed=0), objective, 20, ["minimize"])
    assert len(study.trials) == 20


def test_proposals_keep_to_the_conditions():
    sampler = EnergyFirstSampler(costs={1: macs}, seed=0)
    study = run(sampler, n=25)
    trial = study.ask()
    trial.suggest_int("layers", 1, 3)
    proposed = trial.relative_params
    widths = {name for name in proposed if name.startswith("width")}
    assert widths == {f"width{layer}" for layer in range(proposed["layers"])}
    assert ("momentum" in proposed) == (proposed["optimizer"] == "sgd")


@pytest.mark.parametrize(
    "distribution",
    [
        CategoricalDistribution([None, True, 1.5, "one", 1]),
        CategoricalDistribution([16, 4, 64]),
        CategoricalDistribution([1, 1.0, True]),
        CategoricalDistribution([math.nan, math.inf]),
        IntDistribution(0, 2**40),
        IntDistribution(1, 10**6, log=True),
        IntDistribution(-7, 70_000, step=7),
        FloatDistribution(0.0, 1.0, step=0.1),
        FloatDistribution(0.0, 1e-7, step=1e-9),
        FloatDistribution(-1e30, 1e30),
        FloatDistribution(1e-200, 1e200, log=True),
    ],
    ids=str,
)
def test_values_stand_for_themselves(distribution):
    axis = Axis("x", distribution)
    chance = optuna.samplers.RandomSampler(seed=0)
    for _ in range(20):
        value = chance.sample_independent(None, None, "x", distribution)
        again = axis.decode(axis.encode(value))
        if not isinstance(distribution, CategoricalDistribution):  # of equal choices it has one
            assert type(again) is type(value)
        assert distribution._contains(distribution.to_internal_repr(again))
        if isinstance(value, float) and math.isfinite(value):
            assert again == pytest.approx(value, rel=1e-9, abs=1e-15)
        else:
            assert distribution.to_internal_repr(again) == distribution.to_internal_repr(value)


def test_parameters_of_every_kind_are_proposed():
    def objective(trial):
        trial.suggest_categorical("odd", [None, True, 1.5, "one", 1])
        trial.suggest_int("seed", 0, 2**31)
        trial.suggest_int("batch", 1, 4096, log=True)
        trial.suggest_float("huge", -1e300, 1e300)
        return trial.suggest_float("fine", 0, 1e-8, step=1e-9), 1.0

    study = run(EnergyFirstSampler(seed=0), objective, 40)
    assert len({tuple(map(str, params.values())) for params in all_params(study)}) == 40
    trial = study.ask()
    trial.suggest_int("seed", 0, 2**31)
    assert set(trial.relative_params) == {"odd", "seed", "batch", "huge", "fine"}


def test_everything_is_tried_once_before_anything_is_tried_again():
    def objective(trial):
        return trial.suggest_int("a", 0, 3) + trial.suggest_categorical("b", [0, 10, 20])

    study = run(EnergyFirstSampler(seed=0), objective, 20, ["minimize"])
    tried = [tuple(params.values()) for params in all_params(study)]
    assert len(set(tried[:12])) == 12
    assert len(tried) == 20


# --- what it promises about itself ----------------------------------------------------------------


def test_the_same_seed_gives_the_same_trials_and_another_seed_others():
    one, two = (run(EnergyFirstSampler(costs={1: macs}, seed=1)) for _ in range(2))
    other = run(EnergyFirstSampler(costs={1: macs}, seed=2))
    assert all_params(one) == all_params(two)
    assert all_params(one) != all_params(other)


def test_a_study_goes_on_in_another_process_as_it_would_have(tmp_path):
    def sampler():
        return EnergyFirstSampler(costs={1: macs}, seed=1, n_startup_trials=6)

    whole = run(sampler(), n=16)
    url = f"sqlite:///{tmp_path}/study.db"
    first = optuna.create_study(
        study_name="s", storage=url, directions=list(TWO), sampler=sampler()
    )
    first.optimize(both, n_trials=10)
    later = optuna.load_study(study_name="s", storage=url, sampler=sampler())
    later.optimize(both, n_trials=6)
    assert all_params(later) == all_params(whole)
    longest = max(len(str(v)) for t in later.trials for v in t.system_attrs.values())
    assert longest <= 2045


@pytest.mark.parametrize("kind", ["startup", "model"])
def test_trials_begun_together_differ(kind):
    study = run(EnergyFirstSampler(costs={1: macs}, seed=0), n=6 if kind == "startup" else 25)
    together = [study.ask() for _ in range(5)]
    params = [tuple(network(trial).items()) for trial in together]
    assert len(set(params)) == 5


def test_another_worker_with_the_same_seed_does_not_propose_the_same():
    study = run(EnergyFirstSampler(costs={1: macs}, seed=0), n=25)
    mine, theirs = study.ask(), study.ask()
    sampler = EnergyFirstSampler(costs={1: macs}, seed=0)
    frozen = [study._storage.get_trial(one._trial_id) for one in (mine, theirs)]
    space = sampler.infer_relative_search_space(study, frozen[0])
    second = sampler.sample_relative(study, frozen[1], space)  # knows nothing of the first yet
    first = sampler.sample_relative(study, frozen[0], space)
    assert first != second


def test_threads_share_a_sampler():
    study = run(EnergyFirstSampler(costs={1: macs}, seed=0), n=40, n_jobs=4)
    params = {tuple(sorted(one.items())) for one in all_params(study)}
    assert len(params) == 40


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_as_the_original(copied):
    sampler = EnergyFirstSampler(costs={1: macs}, seed=4)
    study = run(sampler, n=25)
    trial = study.ask()
    frozen = study._storage.get_trial(trial._trial_id)
    other = copied(sampler)
    space = other.infer_relative_search_space(study, frozen)
    assert other.sample_relative(study, frozen, space) == sampler.sample_relative(
        study, frozen, space
    )


def test_a_sampler_can_be_used_for_another_study():
    sampler = EnergyFirstSampler(seed=0)
    run(sampler, n=20)
    one = ["maximize"]
    study = run(sampler, lambda trial: trial.suggest_float("z", 0, 1), 20, one)
    assert all(set(params) == {"z"} for params in all_params(study))
    assert study.best_value > 0.9


def test_another_seed_is_taken_when_workers_are_to_differ():
    sampler, other = (EnergyFirstSampler(seed=4) for _ in range(2))
    other.reseed_rng()
    assert all_params(run(sampler, n=3)) != all_params(run(other, n=3))


def test_enqueued_trials_and_trials_from_elsewhere_count():
    sampler = EnergyFirstSampler(costs={1: macs}, seed=0)
    study = optuna.create_study(directions=list(TWO), sampler=sampler)
    study.add_trial(create_trial(values=[0.5, 100.0]))  # without any parameter
    study.enqueue_trial({"layers": 1, "width0": 8, "rate": 1e-3, "optimizer": "adam"})
    with pytest.warns(UserWarning, match=r"costs\[1\] gives nothing for trial 0"):
        study.optimize(both, n_trials=25)
    assert study.trials[1].params["width0"] == 8
    assert len(study.trials) == 26


def test_a_cost_that_asks_for_a_missing_parameter_is_learnt_instead():
    def mistaken(params):
        return params["no_such_parameter"]

    with pytest.warns(UserWarning, match=r"costs\[1\] gives nothing for trial 0"):
        study = run(EnergyFirstSampler(costs={1: mistaken}, seed=0), n=25)
    assert len(study.trials) == 25


def test_a_cost_counts_as_exact_only_while_trials_report_it():
    def task(function):
        study = run(optuna.samplers.RandomSampler(seed=0), n=10)
        reading = StudyReader(study, {1: function}, None).read(study.trials[-1])
        return Task.of(study.directions, reading.finished, (1,))

    assert task(macs).is_exact
    assert not task(lambda params: 1.1 * macs(params)).is_exact


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"costs": {2: macs}}, "costs names objective 2: they are numbered from 0 to 1"),
        ({"costs": {0: macs, 1: macs}}, "costs names all objectives"),
        (
            {"costs": {1: lambda params: "many"}},
            r"costs\[1\] gave 'many' for {.*}: expected a number",
        ),
        ({"price": lambda params: -1.0}, "price gave -1 for trial 0: it is to be above 0"),
    ],
)
def test_mistakes_show_in_the_first_trials(arguments, message):
    with pytest.raises(ValueError, match=message):
        run(EnergyFirstSampler(**arguments), n=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"costs": {-1: macs}}, "costs names objective -1: they are numbered from 0"),
        ({"costs": {"macs": macs}}, "costs names objective 'macs'"),
        ({"n_startup_trials": -1}, "n_startup_trials is -1: it is to be 0 or more"),
        ({"n_candidates": 0}, "n_candidates is 0: it is to be 1 or more"),
    ],
)
def test_mistakes_are_named_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        EnergyFirstSampler(**arguments)


def test_the_room_is_entered_without_optuna_and_the_sampler_without_torch():
    code = (
        "import sys, ecoautoml.strategies\n"
        "assert not {'optuna', 'torch'} & set(sys.modules)\n"
        "from ecoautoml.strategies import EnergyFirstSampler, FrontPruner\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
