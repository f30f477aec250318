import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_wheel_brings_its_spaces(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    script = (
        "import ecoautoml.spaces as s, sys; print(s.find_space('tiny')); "
        "print(len(s.load_space('tiny').dimensions)); "
        "print({'torch', 'timm', 'onnxruntime'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    path, count, heavy = ran.stdout.splitlines()
    assert Path(path) == site / "ecoautoml" / "_search_spaces" / "tiny.yaml"
    assert int(count) > 10
    assert heavy == "set()"
