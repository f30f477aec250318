"""What the names of columns say: words, families of like columns, and what each may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SCORES = {"acc", "accs", "accuracy", "accuracies", "score", "f1", "auc", "auroc", "rocauc"}
SCORES |= {"top1", "top5", "map", "iou", "miou", "dice", "bleu", "r2", "ndcg", "mcc", "kappa"}
LOSSES = {"error", "errors", "err", "loss", "rmse", "mse", "mae", "ppl", "perplexity", "wer"}
LOSSES |= {"cer", "nll", "misclassification", "crossentropy"}
ACCURACIES = {"top1", "top5", "acc", "accs", "accuracy", "accuracies", "error", "errors", "err"}
VALID = {"valid", "val", "validation", "dev", "eval", "cv", "heldout"}
TEST, TRAIN = {"test"}, {"train", "training", "tr", "fit"}
TIME = {"time", "times", "runtime", "walltime", "wallclock", "seconds", "secs", "sec", "duration"}
TIME |= {"elapsed", "hours", "minutes", "cost"}
INFERENCE = {"latency", "lat", "inference", "infer", "predict", "prediction", "forward"}
JOULES = {"joule", "joules", "j", "mj", "uj", "kj", "kwh", "wh", "mwh"}
TRAINING_UNITS = {"kwh", "wh", "mwh"}
WATTS = {"power", "watt", "watts", "powerw"}
FLOPS = {"flops", "flop", "gflops", "mflops", "macs", "gmacs", "mmacs", "madds", "multadds"}
PARAMETERS = {"params", "param", "parameters", "nparams", "numparams", "parameter"}
MEMORY = {"memory", "mem", "ram", "vram", "rss"}
BYTES = {"bytes", "mb", "kb", "mib", "gb"}
FILES = {"model", "file", "weights", "onnx", "disk", "binary", "checkpoint"}
OTHER_METRICS = {"co2", "co2eq", "carbon", "emissions", "gco2", "throughput", "fps", "ips", "gpus"}
SPREAD = {"std", "sd", "var", "variance", "stderr", "stdev", "rank", "sem", "ci"}
NOT_A_SCORE = TIME | SPREAD | INFERENCE | {"weight", "weights", "coef", "scale", "function", "fn"}
FULL = {"final", "full", "last", "high", "end", "best", "total"}
PARTIAL = {"low", "early", "first", "short", "proxy", "partial", "initial"}
IDS = {"id", "ids", "idx", "index", "uuid", "uid", "hash", "timestamp", "date", "datetime", "path"}
IDS |= {"url", "filename", "unnamed", "md5", "sha", "isomorph", "isomorphism"}
EXACT_IDS = {"name", "number", "num", "key", "file", "row", "source", "licence", "license"}
REPEATS = {"seed", "seeds", "run", "runs", "repeat", "repeats", "replicate", "rep", "fold", "trial"}
BUDGETS = {"epoch", "epochs", "budget", "fidelity", "step", "steps", "iter", "iters", "iteration"}
BUDGETS |= {"iterations", "rung", "resource"}
CONTEXTS = {"dataset", "data_set", "data", "task", "task_id", "task_name", "benchmark", "problem"}
CONTEXTS |= {"space", "search_space", "device", "hardware", "hw", "platform", "machine", "gpu"}
CONTEXTS |= {"instance", "openml_task_id", "gpu_name", "cpu", "target_device"}
STATES = {"complete", "completed", "success", "successful", "valid", "is_valid", "ok", "finished"}
STATES |= {"is_complete", "status", "state"}
GOOD_STATES = {"true", "1", "complete", "completed", "success", "successful", "ok", "finished"}
COUNTS = {"n", "num", "number", "of", "m", "k", "b", "millions", "million", "count", "total"}
COUNTS |= {"model", "trainable", "mb", "net", "network"}
HYPER = {"lr", "learning", "decay", "wd", "momentum", "dropout", "drop", "alpha", "beta", "gamma"}
HYPER |= {"eps", "epsilon", "warmup", "reg", "l1", "l2", "temperature", "width", "depth", "units"}
HYPER |= {"resolution", "multiplier", "ratio", "factor", "expansion", "kernel", "layers", "batch"}
HYPER |= {"filters", "channels", "hidden", "smoothing", "mixup", "cutout", "hp", "config", "x"}
HYPER |= {"hyperparameter", "penalty", "subsample", "eta", "lambda", "limit", "size", "rate"}

_EPOCHS = re.compile(
    r"(?:^|(?<=[_\-. ]))(?:(?:ep|epoch|epochs|e|hp|budget|iters?|steps?)_?(\d+)"
    r"|(\d+)_?(?:ep|epoch|epochs|e|iters?|steps?|pct|percent))(?=$|[_\-. ])|@_?(\d{2,})$",
    re.IGNORECASE,
)
_SEED = re.compile(
    r"(?:^|(?<=[_\-. ]))(?:seed|run|rep|repeat|fold|trial|s)_?(\d+)(?=$|[_\-. ])", re.IGNORECASE
)
_MEAN = re.compile(r"(?:^|(?<=[_\-. ]))(?:mean|avg|average)(?=$|[_\-. ])", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"^(.*?[^\d])[_\-. ]?(\d+)$")
_FIRST_NUMBER = re.compile(r"^(\d+)[_\-. ]?([^\d].*)$")


def words(name: str) -> set[str]:
    """Return the words of a name in lower case, also without their digits."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name)
    found = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    return {*found, *(plain for word in found if (plain := re.sub(r"\d+", "", word)))}


def is_score(name: str) -> bool:
    """Return whether more of it is better."""
    said = words(name)
    return bool(said & SCORES) and not said & (NOT_A_SCORE | LOSSES)


def is_error(name: str) -> bool:
    """Return whether less of it is better."""
    said = words(name)
    return bool(said & LOSSES) and not said & NOT_A_SCORE


def is_energy(name: str) -> bool:
    """Return whether it is an energy, of inference or training."""
    said = words(name)
    by_name = any(word.startswith("energy") or word.endswith("energy") for word in said)
    return (by_name or bool(said & JOULES)) and not said & (SPREAD | OTHER_METRICS)


def is_training_energy(name: str) -> bool:
    """Return whether an energy is that of training."""
    said = words(name)
    return bool(said & (TRAIN | TRAINING_UNITS)) and not said & INFERENCE


def is_power(name: str) -> bool:
    said = words(name)
    return bool(said & WATTS) and not said & {"limit", "cap", "law", "max", "min"}


def is_latency(name: str) -> bool:
    said = words(name)
    return bool(said & INFERENCE) and not said & (TRAIN | SPREAD | JOULES | WATTS)


def is_training_time(name: str) -> bool:
    said = words(name)
    return bool(said & TIME) and not said & (INFERENCE | SPREAD | TEST | VALID)


def is_per_epoch(name: str) -> bool:
    said = words(name)
    return "per" in said and bool(said & BUDGETS)


def is_size(name: str) -> bool:
    """Return whether it says how large a model is, or how much it computes."""
    said = words(name.rsplit(".", 1)[-1])
    if said & SPREAD:
        return False
    if said & PARAMETERS and not said - PARAMETERS - COUNTS - {"g", "mi"}:
        return True
    return bool(
        said & (FLOPS | MEMORY) or (said & BYTES and said & FILES) or said >= {"model", "size"}
    )


def is_measured(name: str) -> bool:
    """Return whether it is an outcome of some kind, not a choice."""
    tests = (is_score, is_error, is_energy, is_power, is_latency, is_training_time, is_size)
    said = words(name)
    return any(test(name) for test in tests) or bool(
        said & (OTHER_METRICS | SPREAD) or (said & TIME and said & (INFERENCE | TEST | VALID))
    )


def is_id(name: str) -> bool:
    return bool(words(name) & IDS) or name.lower() in EXACT_IDS


def is_repeat(name: str) -> bool:
    said = {word for word in words(name) if word not in {"n", "num", "no", "random"}}
    return bool(said & REPEATS) and len(said) <= 2


def is_budget(name: str) -> bool:
    said = words(name) - {"n", "num", "max", "train", "training", "number", "of", "at", "t"}
    return bool(said) and said <= BUDGETS


def is_hyperparameter(name: str) -> bool:
    """Return whether its name is that of a choice, however many values it has."""
    said = words(name)
    first = re.split(r"[_.:]", name.lower())[0]
    return bool(said & HYPER) or first in {"hp", "config", "params", "param", "arch", "op"}


def is_encoding(name: str) -> bool:
    """Return whether its name is that of a whole candidate, written in one."""
    return bool(
        words(name) & {"code", "arch", "architecture", "encoding", "genotype", "spec", "cell"}
    )


def checkpoint(name: str) -> int:
    """Return the number of a checkpoint in a name ("cp2_valid_acc"); 0: there is none."""
    match = re.search(r"(?:^|_)(?:cp|ckpt|checkpoint)_?(\d+)", name.lower())
    return int(match[1]) if match else 0


# --- families ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Member:
    """What there is of one measure after some epochs: its mean, and single trainings."""

    mean: str | None = None
    seeds: list[str] = field(default_factory=list)


def families(names: Sequence[str]) -> dict[str, dict[int | None, Member]]:
    """Return measures by stem, and of each what there is after how many epochs (None: unsaid)."""
    parsed = {name: _parsed(name) for name in names}
    parsed |= _numbered([name for name in names if parsed[name][1:] == (None, None)])
    found: dict[str, dict[int | None, Member]] = {}
    for name in names:
        stem, epochs, seed = parsed[name]
        member = found.setdefault(stem, {}).setdefault(epochs, Member())
        if seed is not None:
            member.seeds.append(name)
        elif member.mean is None or _MEAN.search(name):
            member.mean = name
    return found


def stem_of(name: str, names: Sequence[str]) -> str:
    """Return the stem under which a name, or one of its family, stands."""
    for stem, members in families(names).items():
        for member in members.values():
            if name == member.mean or name in member.seeds:
                return stem
    return _parsed(name)[0]


def _parsed(name: str) -> tuple[str, int | None, int | None]:
    epochs, seed = _EPOCHS.search(name), _SEED.search(name)
    stem = name
    for pattern in (_EPOCHS, _SEED, _MEAN):
        stem = pattern.sub("", stem)
    stem = re.sub(r"[_\-. ]+", "_", stem).strip("_")
    n_epochs = None if epochs is None else int(epochs[1] or epochs[2] or epochs[3])
    return stem, n_epochs, None if seed is None else int(seed[1])


def _numbered(names: Iterable[str]) -> dict[str, tuple[str, int | None, int | None]]:
    """Return names that differ in one number at an end: of epochs if it spreads, else of seeds."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for name in names:
        match, first = _LAST_NUMBER.match(name), _FIRST_NUMBER.match(name)
        if first:
            groups.setdefault(f"_{first[2]}", []).append((name, int(first[1])))
        elif match and not match[1].lower().rstrip("_-. ").endswith(("top", "@", "at", "f", "r")):
            groups.setdefault(match[1].rstrip("_-. "), []).append((name, int(match[2])))
    found: dict[str, tuple[str, int | None, int | None]] = {}
    for stem, members in groups.items():
        counts = sorted(number for _, number in members)
        if len(counts) < 2:
            continue
        is_row = counts in (list(range(len(counts))), list(range(1, len(counts) + 1)))
        is_epochs = (
            counts[0] > 0 and counts[-1] >= 2 * counts[0] and not (is_row and len(counts) < 8)
        )
        for name, number in members:
            found[name] = (stem, number, None) if is_epochs else (stem, None, number)
    return found
