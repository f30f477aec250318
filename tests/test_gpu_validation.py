"""The validation of the GPU meter, rehearsed on a simulated board."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from gpu_checks import Row, kendall_tau, nonnegative_least_squares  # noqa: E402
from gpu_rigs import StandInRig  # noqa: E402
from gpu_validation import PARTS, as_markdown, default_output, describe, main, run_part  # noqa: E402


def rehearse(part, tmp_path, scale="0.2"):
    output = tmp_path / "found"
    code = main(["--part", str(part), "--rehearse", "--scale", scale, "--output", str(output)])
    assert code == 0
    return json.loads((tmp_path / "found.json").read_text()), (tmp_path / "found.md").read_text()


def test_part_one_finds_tick_aliasing_and_misuse_on_a_simulated_board(tmp_path):
    tree, table = rehearse(1, tmp_path)
    rows = tree["rows"]
    assert tree["about"]["is_rehearsal"]
    assert "Rehearsal on a simulated board" in table
    assert {row["check"] for row in rows} == {"V1", "V2", "V3", "V4", "V6", "V7"}
    assert [row for row in rows if row["verdict"] == "fail"] == []
    by_case = {row["case"]: row for row in rows}
    assert by_case["total energy: tick"]["value"] == pytest.approx(100.0, rel=0.02)
    # This board's sensor sees a quarter of every tick: plain windows are wrong, shifted ones not.
    assert abs(by_case["period 100 ms, plain 5 s"]["value"]) > 0.3
    assert by_case["period 100 ms, phase-stepped"]["verdict"] == "pass"


def test_an_oracle_that_is_not_there_is_a_row_that_says_so(tmp_path):
    tree, _ = rehearse(1, tmp_path)
    absent = {row["case"]: row["note"] for row in tree["rows"] if row["verdict"] == "absent"}
    assert absent["zeus"]
    assert absent["codecarbon"]


def test_part_two_tells_apart_what_is_two_per_cent_apart(tmp_path):
    tree, _ = rehearse(2, tmp_path, scale="1")
    ratios = [row for row in tree["rows"] if "ratio in" in row["case"]]
    assert len(ratios) == 3
    assert {row["verdict"] for row in ratios} == {"pass"}
    assert ratios[0]["value"] == pytest.approx(100 / 102, rel=0.005)


def test_part_three_recovers_the_model_the_simulated_board_follows(tmp_path):
    tree, _ = rehearse(3, tmp_path)
    found = {row["case"]: row["value"] for row in tree["rows"]}
    assert found["per operation"] == pytest.approx(0.6, rel=0.05)
    assert found["per byte"] == pytest.approx(40.0, rel=0.05)
    assert found["static"] == pytest.approx(90.0, rel=0.05)
    assert found["networks: mean error"] < 0.02


@pytest.mark.parametrize("part", sorted(PARTS))
def test_each_part_takes_under_nine_minutes_of_the_boards_time(part, tmp_path):
    tree, _ = rehearse(part, tmp_path, scale="1")
    assert tree["about"]["seconds"] < 540
    assert "time was up" not in json.dumps(tree)


def test_a_check_that_breaks_is_a_row_and_the_others_go_on(monkeypatch):
    def v1_broken(rig, scale):
        raise RuntimeError("no such field")

    def v2_fine(rig, scale):
        yield Row(check="V2", case="fine", value=float("nan"))

    monkeypatch.setitem(PARTS, 1, [v1_broken, v2_fine])
    broken, fine = run_part(StandInRig(), 1, 1.0)
    assert (broken.check, broken.verdict) == ("V1", "fail")
    assert "no such field" in broken.note
    assert fine.value is None  # not a number is not a finding


def test_results_are_named_after_board_date_and_part():
    about = describe(StandInRig(), 2, 1.0) | {"board": "NVIDIA H200 (SXM)", "date": "2026-11-21T1"}
    assert default_output(about).name == "gpu_validation_nvidia_h200_sxm_2026-11-21_part2"
    assert "| V1 | a / b | – |" in as_markdown(about, [Row(check="V1", case="a | b", value=None)])


def test_without_a_gpu_it_says_so_in_one_sentence_and_exits_with_two(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_validation.py", "--part", "1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "There is no GPU to validate on: torch sees no GPU.\n"


def test_it_needs_little_beside_the_energy_room():
    """It is carried to machines that hold torch and NVIDIA's library, and nothing of ours."""
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "import gpu_validation\n"
        "heavy = {'pydantic', 'timm', 'optuna', 'pandas', 'onnxruntime', 'sklearn', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('ecoautoml.')}\n"
        "assert ours <= {'energy', 'records', 'registry', 'errors'}, ours\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_least_squares_without_negative_parts_agrees_with_a_closed_form():
    a = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert nonnegative_least_squares(a, a @ [2.0, 3.0]) == pytest.approx([2.0, 3.0])
    # Unbounded it is (2, -1): bounded, the second is 0 and the first the projection.
    assert nonnegative_least_squares(a, a @ [2.0, -1.0]) == pytest.approx([1.5, 0.0])


def test_rank_agreement_is_one_for_equal_and_minus_one_for_opposite_order():
    numbers = np.array([1.0, 5.0, 3.0])
    assert kendall_tau(numbers, 2 * numbers) == 1.0
    assert kendall_tau(numbers, -numbers) == -1.0
