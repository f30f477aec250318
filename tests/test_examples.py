"""Every example, and the README's Python, run as a user runs them."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from processes import run
from sklearn.datasets import load_digits

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow


def test_each_example_has_a_test():
    tested = set(re.findall(r"\d\d_\w+\.yaml", Path(__file__).read_text()))
    assert {path.name for path in EXAMPLES.glob("*.yaml")} == tested
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"optuna_study.py"}


def test_first_search(tmp_path):
    quick = ["--set", "budget.trials=2", "--set", "training.epochs=2"]
    example = EXAMPLES / "01_first_search.yaml"
    done = run("search", example, "--set", f"output={tmp_path}", *quick)
    assert done.returncode == 0, done.stderr
    assert "Pareto front" in done.stdout
    trials = pd.read_parquet(tmp_path / "first_search" / "trials.parquet")
    assert len(trials) == 2


def test_own_images_from_a_folder(tmp_path):
    digits = load_digits()
    for number in range(600):
        folder = tmp_path / "images" / f"digit {digits.target[number]}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 15.9).astype(np.uint8)
        Image.fromarray(pixels).resize((28, 28)).save(folder / f"{number}.png")
    (tmp_path / "images" / "digit 0" / "broken.png").write_bytes(b"not an image")
    done = run(
        "search",
        EXAMPLES / "02_own_images.yaml",
        *("--set", f"data.path={tmp_path / 'images'}", "--set", f"output={tmp_path}"),
        *("--set", "budget.trials=2", "--set", "training.epochs=2"),
    )
    assert done.returncode == 0, done.stderr
    assert "420 training, 90 validation, 90 test images, 10 classes, grey, 28 px" in done.stdout
    assert "broken.png" in done.stdout
    assert (tmp_path / "own_images" / "report.html").exists()


def test_own_images_from_a_parquet_file(tmp_path):
    digits = load_digits()
    images = []
    for values in digits.images[:200]:
        file = io.BytesIO()
        Image.fromarray((values * 15.9).astype(np.uint8)).resize((28, 28)).save(file, "PNG")
        images.append(file.getvalue())
    table = pa.table({"image": images, "label": digits.target[:200]})
    pq.write_table(table, tmp_path / "images.parquet")
    done = run(
        "search",
        EXAMPLES / "02_own_images.yaml",
        *("--set", f"data.path={tmp_path / 'images.parquet'}", "--set", f"output={tmp_path}"),
        *("--set", "budget.trials=1", "--set", "training.epochs=1"),
        *("--set", "measure.max_seconds=0.5", "--set", "executor.workers=1"),
    )
    assert done.returncode == 0, done.stderr
    assert "140 training, 30 validation, 30 test images, 10 classes, grey, 28 px" in done.stdout
    assert len(pd.read_csv(tmp_path / "own_images" / "front.csv")) == 1


def test_own_images_without_a_path_say_what_to_do(tmp_path):
    done = run("search", EXAMPLES / "02_own_images.yaml", "--set", f"output={tmp_path}")
    assert done.returncode == 2
    assert "images" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_optuna_study_of_ones_own():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "optuna_study.py", "25"],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted, _, *front = done.stdout.splitlines()
    n_pruned, n_trials = map(int, re.findall(r"\d+", counted))
    assert n_trials == 25
    assert 0 <= n_pruned < 25
    errors = [float(line.split()[0]) for line in front]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    smallest = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL).group(1)
    quick = "training: {epochs: 1}\nbudget: {trials: 1}\n"
    (tmp_path / "config.yaml").write_text(smallest + quick)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block, names)
    assert len(names["result"].front) == 1
    assert names["model"].training is False
