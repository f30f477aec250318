"""The checks of the GPU meter: each returns rows of what was found and what it had to be."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from gpu_oracles import CodeCarbon, Oracle, Zeus
from gpu_rigs import Call, Kernel, Rig, StandInRig

from ecoautoml.energy.base import CounterReading, Scope
from ecoautoml.energy.gpu.boards import field_value, field_values, visible_devices
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.energy.gpu.power import PowerIntegrator, PowerSample
from ecoautoml.energy.gpu.ticks import Look, tick_of
from ecoautoml.energy.protocol.block import Block, BlockMaker
from ecoautoml.energy.protocol.calls import Calls
from ecoautoml.energy.protocol.compare import Load, measure_in_turn

POLL_S = 20.0
NESTED_S = (2.0, 5.0, 10.0)
PERIODS_S = (0.1, 0.073, 0.05, 0.03, 0.01)
SAMPLE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was checked.

    Attributes:
        check: "V1" to "V9", see the plan in the module `gpu_validation`.
        case: What exactly.
        value: What was found; None: nothing could be.
        unit: Of the value.
        limit: What it had to be, in words.
        verdict: "pass", "fail", "flag" (look at it), "info" or "absent".
        note: Anything else.
    """

    check: str
    case: str
    value: float | None
    unit: str = ""
    limit: str = ""
    verdict: str = "info"
    note: str = ""


def judged(
    check: str,
    case: str,
    value: float | None,
    limit: float,
    *,
    note: str = "",
    otherwise: str = "fail",
) -> Row:
    """Return a row that passes when a value is known and within ± a limit."""
    is_within = value is not None and abs(value) <= limit
    return Row(
        check=check,
        case=case,
        value=value,
        limit=f"within ±{limit:g}",
        verdict="pass" if is_within else otherwise,
        note=note,
    )


def v1_tick(rig: Rig, scale: float) -> Iterator[Row]:
    """Look at the fields for 20 s: how often they move, by how much, and what a look costs."""
    nvml, handle = rig.nvml, rig.handle
    fields = {
        "energy": nvml.NVML_FI_DEV_ENERGY,
        "instant power": nvml.NVML_FI_DEV_POWER_INSTANT,
        "average power": nvml.NVML_FI_DEV_POWER_AVERAGE,
    }
    looks: dict[str, list[Look]] = {name: [] for name in (*fields, "total energy")}
    call_s = []
    end_s = rig.clock.now() + POLL_S * scale
    while rig.clock.now() < end_s:
        began_s = rig.clock.now()
        found = field_values(nvml, handle, list(fields.values()))
        now_s = rig.clock.now()
        call_s.append(now_s - began_s)
        for name, value in zip(fields, found, strict=True):
            if value is not None:
                looks[name].append(Look(value=value[0], time_s=now_s, stamp_s=value[1]))
        total_mj = int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        looks["total energy"].append(Look(value=total_mj, time_s=rig.clock.now()))
        rig.clock.wait(0.001)
    yield Row(check="V1", case="fields in one call, median", value=1e3 * _median(call_s), unit="ms")
    p99_s = float(np.percentile(call_s, 99))
    yield Row(check="V1", case="fields in one call, p99", value=1e3 * p99_s, unit="ms")
    for name, seen in looks.items():
        yield from _tick_rows(name, seen)


def _tick_rows(name: str, looks: Sequence[Look]) -> Iterator[Row]:
    if len(looks) < 2:
        yield Row(check="V1", case=name, value=None, verdict="absent", note="not told")
        return
    tick = tick_of(looks)
    if tick.tick_s is None:
        yield Row(
            check="V1", case=f"{name}: tick", value=None, verdict="flag", note=f"{tick.reason}"
        )
        return
    near = [gap_s for gap_s in tick.gaps_s if abs(gap_s / tick.tick_s - 1) < 0.1]
    share = len(near) / len(tick.gaps_s)
    values = [look.value or 0 for look in looks]
    moves = [abs(b - a) for a, b in itertools.pairwise(values) if b != a]
    yield Row(
        check="V1",
        case=f"{name}: tick",
        value=1e3 * tick.tick_s,
        unit="ms",
        limit="80 % of the gaps within 10 %",
        verdict="pass" if share >= 0.8 else "flag",
        note=f"{share:.0%} of {len(tick.gaps_s)} gaps, "
        f"{'the driver' if tick.has_stamps else 'our'} clock, smallest move {min(moves)}",
    )


def v2_v4_oracles_and_integral(rig: Rig, scale: float) -> Iterator[Row]:
    """Nested windows of several loads, beside zeus, CodeCarbon and integrated power."""
    is_real = not isinstance(rig, StandInRig)
    zeus = Zeus(0 if is_real else None)
    codecarbon = CodeCarbon(rig.uuid if is_real else None)
    for oracle in (zeus, codecarbon):
        if oracle.reason:
            note = oracle.reason
            yield Row(check="V2", case=oracle.name, value=None, verdict="absent", note=note)
    meter, choose = rig.meter(), random.Random(2)
    tick_s = meter.tick_s or 0.1
    for name, call in {**rig.loads(), "idle": rig.idle}.items():
        _run_for(rig, call, 2.0)
        found = [
            # CodeCarbon's start takes a second or two, so it is tried once per load.
            _nested(rig, meter, call, zeus, codecarbon if repeat == 0 else Oracle(), choose)
            for repeat in range(max(round(5 * scale), 1))
        ]
        yield from _nested_rows(name, found, tick_s)


def _nested(
    rig: Rig,
    meter: NvmlMeter,
    call: Call,
    zeus: Oracle,
    codecarbon: Oracle,
    choose: random.Random,
) -> dict[tuple[str, float], float | None]:
    """Return joules by who billed them and window, for windows that begin together."""
    power = PowerIntegrator(lambda: _power(rig))
    joules: dict[tuple[str, float], float | None] = {}
    codecarbon.begin("all")
    is_outside = choose.random() < 0.5  # which of two reads comes first must not matter
    before = meter.read() if is_outside else []
    for window_s in NESTED_S:
        zeus.begin(f"{window_s:g}")
    before = before or meter.read()
    first_j, began_s = power.total().energy_j, rig.clock.now()
    for window_s in NESTED_S:
        _run_for(rig, call, began_s + window_s - rig.clock.now(), power)
        total_j = power.total().energy_j
        after = meter.read() if not is_outside else []
        joules["zeus", window_s] = zeus.end(f"{window_s:g}")
        if window_s == NESTED_S[-1]:
            joules["codecarbon", window_s] = codecarbon.end("all")
        joules["own", window_s] = _joules(meter, before, after or meter.read())
        known = first_j is not None and total_j is not None
        joules["integral", window_s] = (total_j or 0.0) - (first_j or 0.0) if known else None
    return joules


def _nested_rows(
    name: str, found: Sequence[dict[tuple[str, float], float | None]], tick_s: float
) -> Iterator[Row]:
    for who, window_s in sorted({key for each in found for key in each if key[0] != "own"}):
        ratios = [
            own_j / other_j - 1
            for each in found
            if (own_j := each["own", window_s]) and (other_j := each[who, window_s])
        ]
        if not ratios:
            continue
        limit = 2 * tick_s / window_s if window_s < 10 else 0.005
        limit, check, otherwise = (
            (0.05, "V4", "flag") if who == "integral" else (limit, "V2", "fail")
        )
        worst = max(ratios, key=abs)
        note = f"median {statistics.median(ratios):+.2%} of {len(ratios)}"
        case = f"{name}, {window_s:g} s: own / {who} - 1, worst"
        yield judged(check, case, worst, limit, note=note, otherwise=otherwise)


def v3_aliasing(rig: Rig, scale: float) -> Iterator[Row]:
    """Loads that repeat about as often as the counter moves, against their plateaus."""
    meter = rig.meter()
    busy_w, idle_w = _plateau_w(rig, meter, rig.busy(0.02)), _plateau_w(rig, meter, rig.idle)
    if busy_w is None or idle_w is None:
        yield Row(check="V3", case="plateaus", value=None, verdict="fail", note="unknown joules")
        return
    yield Row(check="V3", case="plateau, busy", value=busy_w, unit="W")
    yield Row(check="V3", case="plateau, idle after work", value=idle_w, unit="W")
    for period_s in PERIODS_S:
        call, true_j = rig.square(period_s), 0.5 * period_s * (busy_w + idle_w)
        _run_for(rig, call, 1.0)
        before, n_calls = meter.read(), max(round(5.0 * scale / period_s), 1)
        for number in range(n_calls):
            call(number)
        plain_j = _joules(meter, before, meter.read())
        plain = None if plain_j is None else plain_j / (n_calls * true_j) - 1
        case = f"period {1e3 * period_s:g} ms"
        note = "how wrong a window is without shifts: is the counter duty-cycled?"
        yield Row(check="V3", case=f"{case}, plain 5 s", value=plain, note=note)
        blocks = [_block(rig, meter, call) for _ in range(2)]
        joules = [block.energy_j for block in blocks if block.energy_j is not None]
        shifted = statistics.fmean(joules) / true_j - 1 if joules else None
        flags = ", ".join(sorted({flag for block in blocks for flag in block.flags}))
        yield judged("V3", f"{case}, phase-stepped", shifted, 0.03, note=flags)


def v6_inputs(rig: Rig, scale: float) -> Iterator[Row]:
    """Equal products of zeros and of random numbers, in turn: inputs matter."""
    meter = rig.meter()
    calls = {is_zero: rig.products(50, is_zero=is_zero) for is_zero in (False, True)}
    joules: dict[bool, list[float]] = {False: [], True: []}
    for is_zero in (False, True, True, False):
        _run_for(rig, calls[is_zero], 2.0 * scale)
        joules[is_zero].append(_block(rig, meter, calls[is_zero]).energy_j or 0.0)
    if min(joules[True] + joules[False]) == 0:
        yield Row(check="V6", case="zeros", value=None, verdict="fail", note="unknown joules")
        return
    ratio = statistics.fmean(joules[True]) / statistics.fmean(joules[False])
    note = "joules of zeros per joule of random numbers; below 1 forbids measuring on zeros"
    yield Row(check="V6", case="zeros / random", value=ratio, note=note)


def v7_misuse(rig: Rig, scale: float) -> Iterator[Row]:
    """What goes wrong in use: no synchronisation, tiny windows, odd ways to name a device."""
    yield from _synchronisation_rows(rig)
    meter = rig.meter()
    before = meter.read()
    _run_for(rig, rig.products(20), 0.05)
    (tiny,) = meter.readings_between(before, meter.read())
    stated = tiny.relative_uncertainty
    is_stated = tiny.energy_j is None or (stated is not None and stated > 0.5)
    yield Row(
        check="V7",
        case="a window of 50 ms states its uncertainty",
        value=stated,
        limit="unknown joules, or above 0.5",
        verdict="pass" if is_stated else "fail",
    )
    expected: dict[str, list[str]] = {
        rig.uuid: [rig.uuid],
        rig.uuid[:-4]: [rig.uuid],
        "": [],
        "99": [],
        "MIG-12345678": ["MIG-12345678"],
    }
    for text, boards in expected.items():
        found = visible_devices(rig.nvml, {"CUDA_VISIBLE_DEVICES": text})
        verdict = "pass" if found == boards else "fail"
        case = f"CUDA_VISIBLE_DEVICES={text!r}".replace(rig.uuid[4:-4], "…")
        yield Row(check="V7", case=case, value=len(found), unit="boards", verdict=verdict)
    (mig,) = NvmlMeter(["MIG-12345678"], rig.nvml).read()
    yield Row(
        check="V7",
        case="a MIG instance has no joules",
        value=mig.energy_j,
        verdict="pass" if mig.energy_j is None and mig.reason else "fail",
        note=f"{mig.reason}",
    )
    yield from _sharing_rows(rig)


def _synchronisation_rows(rig: Rig) -> Iterator[Row]:
    """Without waiting for the device a window closes before its work: by how much."""
    meters = {
        "without": rig.meter(),
        "with": rig.meter(synchronize=rig.synchronize),
    }
    joules = {}
    for name, meter in meters.items():
        rig.synchronize()
        before = meter.read()
        rig.launch(500)
        joules[name] = _joules(meter, before, meter.read())
        rig.synchronize()
        rig.clock.wait(0.5)
    lost = None
    if joules["with"]:
        lost = 1 - (joules["without"] or 0.0) / joules["with"]
    yield Row(
        check="V7",
        case="joules missing without synchronisation",
        value=lost,
        limit="above 0.5: our own reads must wait",
        verdict="pass" if lost is not None and lost > 0.5 else "flag",
        note=f"{joules['with'] or 0:.0f} J with it",
    )


def _sharing_rows(rig: Rig) -> Iterator[Row]:
    reading = rig.meter(Scope.TREE).read()[0]
    n = reading.sharers
    verdict = "flag" if n is None or n > 1 else "pass"
    note = "the driver lists no processes" if n is None else ""
    yield Row(check="V7", case="processes on the board", value=n, verdict=verdict, note=note)


def v5_drift(rig: Rig, scale: float) -> Iterator[Row]:
    """Blocks back to back against blocks with a pause: joules per degree."""
    meter, call, n = rig.meter(), rig.products(50), max(round(6 * scale), 3)
    for pause_s in (0.0, 5.0):
        _run_for(rig, call, 5.0 * scale)
        joules, degrees_c = [], []
        for _ in range(n):
            if pause_s:
                rig.clock.wait(pause_s)
                _run_for(rig, call, 0.5)
            block = _block(rig, meter, call)
            joules.append(block.energy_j or np.nan)
            degrees_c.append(meter.board_states()[0].temperature_c or np.nan)
        relative = np.array(joules) / np.mean(joules)
        case = f"{n} blocks, {pause_s:g} s between"
        yield Row(check="V5", case=f"{case}: cv", value=float(np.std(relative, ddof=1)))
        if np.ptp(degrees_c) >= 2:
            slope = 100 * float(np.polyfit(degrees_c, relative, 1)[0])
            yield Row(check="V5", case=f"{case}: slope", value=slope, unit="%/°C")
        else:
            note = f"{np.min(degrees_c):g} to {np.max(degrees_c):g} °C"
            yield Row(check="V5", case=f"{case}: slope", value=None, unit="%/°C", note=note)


def v8_resolution(rig: Rig, scale: float) -> Iterator[Row]:
    """Three loads 2 % and 5 % apart, ten rounds in turn, against long runs of each."""
    meter = rig.meter()
    work = {"100": 100, "102": 102, "105": 105}
    calls = {name: rig.products(n) for name, n in work.items()}
    truth = {
        name: _watts_and_calls(rig, meter, call, 40.0 * scale)[2] for name, call in calls.items()
    }
    contest = measure_in_turn(
        [Load(name=name, run_once=call) for name, call in calls.items()],
        meters=[meter],
        clock=rig.clock,
        precision=0.0,
        max_seconds=230.0 * scale,
        component="gpu",
    )
    for one in contest.comparisons:
        long_a, long_b = truth[one.a], truth[one.b]
        if one.ratio is None or one.ratio_low is None or one.ratio_high is None:
            yield Row(check="V8", case=f"{one.a} : {one.b}", value=None, verdict="fail")
            continue
        true = long_a / long_b if long_a and long_b else float("nan")
        is_covered = one.ratio_low <= true <= one.ratio_high
        yield Row(
            check="V8",
            case=f"{one.a} : {one.b}, ratio in {one.n} rounds",
            value=one.ratio,
            limit=f"the interval holds {true:.4f}, from long runs",
            verdict="pass" if is_covered else "flag",
            note=f"{one.ratio_low:.4f} to {one.ratio_high:.4f} ({one.confidence:.0%}): "
            f"{one.verdict}; work as {work[one.a] / work[one.b]:.4f}",
        )
        half = 0.5 * (one.ratio_high - one.ratio_low)
        yield Row(
            check="V8", case=f"{one.a} : {one.b}, half-width", value=half, note="what can be told"
        )


def v9_model(rig: Rig, scale: float) -> Iterator[Row]:
    """Joules per operation, per byte and per second, from kernels; tried on networks."""
    meter = rig.meter()
    rows = [_work_and_joules(rig, meter, kernel, scale) for kernel in rig.kernels()]
    work = np.array([row[:3] for row in rows])
    joules = np.array([row[3] for row in rows])
    if not np.isfinite(joules).all():
        yield Row(check="V9", case="kernels", value=None, verdict="fail", note="unknown joules")
        return
    # Each kernel counts by its relative error, or the largest would decide alone.
    fit = nonnegative_least_squares(work / joules[:, None], np.ones(len(joules)))
    for name, value, unit in zip(
        ("per operation", "per byte", "static"),
        fit * (1e12, 1e12, 1),
        ("pJ", "pJ", "W"),
        strict=True,
    ):
        yield Row(check="V9", case=name, value=float(value), unit=unit)
    yield _error_row("kernels it was fitted to", work @ fit, joules)
    nets = [_work_and_joules(rig, meter, net, scale) for net in rig.nets()]
    net_j = np.array([row[3] for row in nets])
    yield _error_row("networks", np.array([row[:3] for row in nets]) @ fit, net_j)
    note = "no counter of the processor is expected on such machines"
    yield Row(check="V9", case="processor", value=None, verdict="absent", note=note)


def _work_and_joules(
    rig: Rig, meter: NvmlMeter, kernel: Kernel, scale: float
) -> tuple[float, float, float, float]:
    """Return operations, bytes, seconds and joules of one call."""
    _run_for(rig, kernel.run_once, 1.0 * scale)
    block = _block(rig, meter, kernel.run_once)
    call_s = statistics.fmean(block.call_s)
    return kernel.flops, kernel.dram_bytes, call_s, block.energy_j or float("nan")


def _error_row(case: str, guessed_j: np.ndarray, measured_j: np.ndarray) -> Row:
    error = float(np.mean(np.abs(guessed_j / measured_j - 1)))
    tau = kendall_tau(guessed_j, measured_j)
    return Row(check="V9", case=f"{case}: mean error", value=error, note=f"Kendall's tau {tau:.2f}")


def nonnegative_least_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return x ≥ 0 that minimises |a x - b|, for a few columns: the best of all subsets.

    Args:
        a: Shape (n, k).
        b: Shape (n,).
    """
    best, best_error = np.zeros(a.shape[1]), float(np.linalg.norm(b))
    for size in range(1, a.shape[1] + 1):
        for columns in itertools.combinations(range(a.shape[1]), size):
            part = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
            error = float(np.linalg.norm(a[:, columns] @ part - b))
            if (part >= 0).all() and error < best_error:
                best, best_error = np.zeros(a.shape[1]), error
                best[list(columns)] = part
    return best


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float:
    """Return the rank agreement of two rows of numbers, 1 for equal order (no ties)."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    return float(sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs) / len(pairs))


def _plateau_w(rig: Rig, meter: NvmlMeter, call: Call) -> float | None:
    """Return the watts of a steady load, from an aligned block."""
    _run_for(rig, call, 1.0)
    block = _block(rig, meter, call)
    return None if block.energy_j is None else block.energy_j / statistics.fmean(block.call_s)


def _watts_and_calls(
    rig: Rig, meter: NvmlMeter, call: Call, seconds: float
) -> tuple[float | None, int, float | None]:
    """Return mean watts, calls and joules per call of a long run."""
    _run_for(rig, call, 0.5)
    before = meter.read()
    n_calls = _run_for(rig, call, seconds)
    (reading,) = meter.readings_between(before, meter.read())
    if reading.energy_j is None or reading.duration_s <= 0:
        return None, n_calls, None
    return reading.energy_j / reading.duration_s, n_calls, reading.energy_j / n_calls


def _block(rig: Rig, meter: NvmlMeter, call: Call) -> Block:
    """Return one aligned, phase-stepped block of calls."""
    calls = Calls(call, rig.clock, lambda: None)
    return BlockMaker(calls, [meter], "gpu", 1).block()


def _run_for(rig: Rig, call: Call, seconds: float, power: PowerIntegrator | None = None) -> int:
    """Call for so many seconds, at least once, sampling power meanwhile; return the calls made."""
    end_s = rig.clock.now() + seconds
    sampled_s = rig.clock.now()
    for number in itertools.count(1):
        call(number)
        now_s = rig.clock.now()
        if power is not None and now_s - sampled_s >= SAMPLE_S:
            power.total()
            sampled_s = now_s
        if now_s >= end_s:
            return number
    raise AssertionError("unreachable")


def _power(rig: Rig) -> PowerSample:
    found = field_value(rig.nvml, rig.handle, rig.nvml.NVML_FI_DEV_POWER_INSTANT)
    now_s = rig.clock.now()
    if found is None:
        return PowerSample(power_w=None, stamp_s=now_s, reason="not told")
    return PowerSample(power_w=found[0] * 1e-3, stamp_s=now_s if found[1] is None else found[1])


def _joules(
    meter: NvmlMeter, before: Sequence[CounterReading], after: Sequence[CounterReading]
) -> float | None:
    (reading,) = meter.readings_between(before, after)
    return reading.energy_j


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


Check = Callable[[Rig, float], Iterator[Row]]
PARTS: dict[int, list[Check]] = {
    1: [v1_tick, v2_v4_oracles_and_integral, v3_aliasing, v6_inputs, v7_misuse],
    2: [v5_drift, v8_resolution],
    3: [v9_model],
}
