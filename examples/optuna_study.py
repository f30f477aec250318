"""An Optuna study of one's own: accurate digits, few multiply-adds, little training.

    python examples/optuna_study.py [TRIALS]

Three lines make it energy first, marked (1), (2) and (3). The multiply-adds of a network are known
before it is trained, so nothing has to be trained to find out what is cheap; and a training ends
once it is unlikely to beat a finished network that costs no more.
"""

import sys
import warnings

import optuna
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from ecoautoml.strategies import EnergyFirstSampler, FrontPruner

EPOCHS = 16
images, labels = load_digits(return_X_y=True)
split = train_test_split(images / 16.0, labels, random_state=0)
train_images, held_out_images, train_labels, held_out_labels = split


def macs(params):
    """Return the multiply-adds of one image: known before anything is trained."""
    widths = [params[f"width{layer}"] for layer in range(params["layers"])]
    return sum(a * b for a, b in zip([64, *widths], [*widths, 10], strict=True))


sampler = EnergyFirstSampler(costs={1: macs}, seed=0)  # (1) choose by what is known
pruner = FrontPruner(steps=EPOCHS, costs={1: macs})


def objective(trial):
    """Train one network; return its error and its multiply-adds."""
    layers = trial.suggest_int("layers", 1, 3)
    widths = [trial.suggest_int(f"width{layer}", 4, 128, log=True) for layer in range(layers)]
    network = MLPClassifier(
        widths,
        activation=trial.suggest_categorical("activation", ["relu", "tanh"]),
        learning_rate_init=trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        batch_size=trial.suggest_int("batch", 16, 256, log=True),
        alpha=trial.suggest_float("decay", 1e-6, 1e-1, log=True),
        random_state=0,
    )
    error = 1.0
    for epoch in range(1, EPOCHS + 1):
        network.partial_fit(train_images, train_labels, classes=range(10))
        error = 1.0 - network.score(held_out_images, held_out_labels)
        pruner.report(trial, epoch, [error, None])  # (2) report; what is known needs no report
        if pruner.should_prune(trial):  # (3) stop what cannot join the front
            raise optuna.TrialPruned
    return error, macs(trial.params)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 60)

    front = sorted(study.best_trials, key=lambda trial: trial.values[1])
    n_pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    lines = [f"{n_pruned} of {len(study.trials)} trainings were stopped early", "error   macs"]
    lines += [f"{error:.4f}  {cost:.0f}" for error, cost in (trial.values for trial in front)]
    print("\n".join(lines))  # noqa: T201
