"""The cross-check against CodeCarbon."""

import importlib.util
import json
import sys
import time

import pytest
from processes import run

from ecoautoml.energy.codecarbon_check import codecarbon_check
from ecoautoml.errors import MissingExtraError

IS_INSTALLED = importlib.util.find_spec("codecarbon") is not None
needs_codecarbon = pytest.mark.skipif(
    not IS_INSTALLED, reason="CodeCarbon is not installed (pip install 'ecoautoml[tracking]')"
)


@pytest.mark.skipif(IS_INSTALLED, reason="CodeCarbon is installed")
def test_without_codecarbon_one_sentence_says_how_to_get_it():
    with pytest.raises(MissingExtraError, match=r"pip install 'ecoautoml\[tracking\]'"):
        codecarbon_check(lambda: None)
    done = run("measure", "run", "--codecarbon", "--", sys.executable, "-c", "print('ran')")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: CodeCarbon is not installed")
    assert done.stdout == ""  # the command is not begun


@needs_codecarbon
@pytest.mark.filterwarnings("ignore")
def test_its_joules_are_the_sum_of_its_parts_and_grow_with_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, reading = codecarbon_check(lambda: time.sleep(1.5) or "done")
    assert result == "done"
    assert reading.energy_j == pytest.approx(reading.cpu_j + reading.gpu_j + reading.ram_j)
    assert reading.energy_j > 0  # of a machine that slept: its constants times the time
    assert reading.duration_s >= 1.5
    assert list(tmp_path.iterdir()) == []  # nothing is written


@needs_codecarbon
@pytest.mark.filterwarnings("ignore")
def test_work_that_fails_ends_the_tracker_too():
    with pytest.raises(ValueError, match="mine"):
        codecarbon_check(lambda: (_ for _ in ()).throw(ValueError("mine")))
    _, reading = codecarbon_check(lambda: None)  # another can be started
    assert reading.energy_j >= 0


@needs_codecarbon
def test_the_command_line_shows_it_beside_ours_and_labelled_as_theirs():
    arguments = ("measure", "run", "--target", "cpu", "--codecarbon")
    spin = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    text = run(*arguments, "--", sys.executable, "-c", spin)
    assert text.returncode == 0, text.stderr
    ours, theirs, why = text.stderr.splitlines()
    assert ours.startswith("~")
    assert theirs.startswith("CodeCarbon ")
    assert "memory" in theirs
    assert "constant power for memory" in why
    tree = json.loads(run(*arguments, "--json", "--", sys.executable, "-c", "pass").stdout)
    assert tree["codecarbon"]["energy_j"] > 0
    assert tree["codecarbon"]["tracking_mode"] == "machine"
