"""What a person sees: a live table in a terminal, plain lines in a pipe."""

import os
import pty
import re
import subprocess
from dataclasses import replace

import pytest
from processes import command, environment, run, write_config
from spaces_for_tests import quick_config

from ecoautoml.cli.progress import forecast_text
from ecoautoml.study.forecast import Forecast

pytestmark = pytest.mark.slow


def in_a_terminal(*arguments: object) -> str:
    """Run the command line in a pseudo-terminal and return all it wrote."""
    ours, theirs = pty.openpty()
    env = {**environment(), "TERM": "xterm-256color"}  # wherever the tests themselves run
    process = subprocess.Popen(
        command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # how a pseudo-terminal says that the other end is gone
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return b"".join(chunks).decode(errors="replace")


def test_a_terminal_shows_a_live_table_that_is_gone_in_the_end(tmp_path):
    tree = quick_config(tmp_path, budget={"trials": 2}, training={"epochs": 150, "patience": None})
    text = in_a_terminal("search", write_config(tmp_path / "config.yaml", tree))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"\d+ complete.*\| ~?[\d.]+ k?J \| front \d", plain)
    assert re.search(r"epoch.*validation accuracy", plain)
    assert re.search(r"\d+/150", plain)  # epochs of the running trial
    assert "left" in plain
    assert "\x1b[2K" in text  # lines are redrawn in place
    assert plain.index("Expected: about 2 trials") < plain.index("trial 0 complete")
    assert "Pareto front" in plain.split("trial 1 complete")[-1]


def test_a_pipe_gets_plain_lines(tmp_path):
    tree = quick_config(tmp_path, budget={"trials": 2}, training={"epochs": 1})
    done = run("search", write_config(tmp_path / "config.yaml", tree))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Data: ")
    assert lines[1] == "Note: trains on a subset of 400 of 1257 images"
    assert lines[2].startswith("Expected: about 2 trials")
    events = [line for line in lines if re.match(r"\[\d+ complete", line)]
    assert [re.search(r"trial \d+ complete", line).group() for line in events] == [
        "trial 0 complete",
        "trial 1 complete",
    ]
    assert done.stderr == ""


def test_a_forecast_says_what_it_rests_on_and_what_it_does_not_know():
    known = Forecast(
        trials=12,
        elapsed_s=(60.0, 200.0),
        energy_j=(100.0, 2000.0),
        probed=2,
        binding="trials",
        budget="12 trials or 9 min 00 s, whichever is first",
    )
    assert forecast_text(known) == (
        "Expected: about 12 trials, 1 min 00 s to 3 min 20 s, ~100 J to ~2 kJ "
        "(from 2 probed candidates). Budget: 12 trials or 9 min 00 s, whichever is first."
    )
    unknown = replace(known, elapsed_s=None, energy_j=None, probed=0, binding="unknown")
    assert forecast_text(unknown).startswith("No forecast")
    assert "Budget: 12 trials" in forecast_text(unknown)
    certain = replace(known, elapsed_s=(540.0, 540.0), binding="hours")
    assert "about 12 trials, 9 min 00 s, ~100 J to ~2 kJ" in forecast_text(certain)
