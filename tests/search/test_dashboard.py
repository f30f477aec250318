"""The ledger is readable by Optuna's own dashboard."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from spaces_for_tests import quick_config

from ecoautoml import search

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def get(url: str, process: subprocess.Popen[bytes]) -> dict:
    """Return a JSON answer, waiting until the server is up."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.3)
    raise AssertionError("the dashboard did not answer")


def test_optuna_dashboard_opens_the_ledger(tmp_path):
    result = search(quick_config(tmp_path, budget={"trials": 2}, training={"epochs": 1}))
    port = free_port()
    code = "from optuna_dashboard._cli import main; main()"
    storage = f"sqlite:///{result.folder / 'ledger.db'}"
    server = [sys.executable, "-W", "ignore", "-c", code, storage]
    process = subprocess.Popen(
        [*server, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}/api/studies"
        summaries = get(address, process)["study_summaries"]
        assert [summary["study_name"] for summary in summaries] == ["quick"]
        study = get(f"{address}/{summaries[0]['study_id']}?after=0", process)
        assert study["objective_names"] == list(result.config.objectives)
        assert [trial["number"] for trial in study["trials"]] == [0, 1]
        assert [trial["state"] for trial in study["trials"]] == ["Complete", "Complete"]
    finally:
        process.terminate()
        process.wait()
