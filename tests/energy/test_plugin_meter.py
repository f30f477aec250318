"""A meter that another package adds: the worked example, with a real server behind it."""

import json
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from spaces_for_tests import quick_config

from ecoautoml import measure, search
from ecoautoml.config.models import PluginMeterConfig
from ecoautoml.energy import METERS
from ecoautoml.energy.base import Scope
from ecoautoml.energy.select import open_meters, survey
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import ConfigError
from ecoautoml.records.energy_reading import Provenance

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin_meter"
WATTS = 36.0


class Plug(ThreadingHTTPServer):
    """A smart plug that draws 36 W all the time."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        self.total_wh = 100.0
        self.started_s = time.monotonic()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/status"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        plug = self.server
        total_wh = plug.total_wh + WATTS * (time.monotonic() - plug.started_s) / 3600
        body = json.dumps({"aenergy": {"total": total_wh}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def plug():
    server = Plug()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the example as pip would: its module and its entry points on the path."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "ecoautoml_wall_meter-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "site" / "wall_meter.py").write_text((EXAMPLE / "wall_meter.py").read_text())
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("wall_meter", None)


def config(plug, **options):
    options = {"url": plug.url, "min_window_s": 0.05, **options}
    return PluginMeterConfig(kind="plugin", name="wall", options=options)


def test_it_is_listed_with_the_other_meters(installed):
    assert "wall" in METERS.names()
    line = next(line for line in survey() if line.name == "wall")
    assert not line.ok
    assert "measure.meter.options" in line.reason  # it needs to be told where the plug is


def test_it_reads_what_the_plug_counts(installed, plug):
    whole = open_meters(config(plug), "cpu", scope=Scope.DEVICE)
    with EnergyWindow(whole.meters, whole.clock) as window:
        time.sleep(0.5)
    whole.close()
    (reading,) = window.readings
    assert reading.energy_j == pytest.approx(WATTS * reading.duration_s, rel=0.1)
    assert reading.provenance is Provenance.MEASURED
    assert reading.source == f"wall:{plug.url}"


def test_who_works_gets_a_share_of_it_and_never_more_than_all(installed, plug):
    with measure("cpu", config(plug)) as busy:
        until_s = time.process_time() + 1.0
        while time.process_time() < until_s:
            pass
    assert 0.1 * WATTS < busy.energy_j <= 1.1 * WATTS * busy.duration_s
    assert busy.provenance in (Provenance.MEASURED, Provenance.ATTRIBUTED)


def test_a_plug_that_goes_away_is_unknown_and_one_that_is_reset_too(installed, plug):
    meter = open_meters(config(plug), "cpu").meters[0]
    before = meter.read()
    plug.total_wh = 0.0
    (reset,) = meter.readings_between(before, meter.read())
    assert reset.energy_j is None
    assert "lost count" in reset.reason
    again = meter.read()
    plug.shutdown()
    plug.server_close()
    (gone,) = meter.readings_between(again, meter.read())
    assert gone.energy_j is None
    assert "gave no total" in gone.reason


def test_a_plug_that_does_not_answer_is_refused_at_the_start(installed):
    lost = PluginMeterConfig(
        kind="plugin", name="wall", options={"url": "http://127.0.0.1:9/", "timeout_s": 0.5}
    )
    with pytest.raises(
        ConfigError, match=r"measure\.meter wall cannot be used here: .*gave no total"
    ):
        open_meters(lost, "cpu")


def test_wrong_options_and_names_are_refused(installed, plug):
    with pytest.raises(ConfigError, match=r"measure\.meter\.options: the meter wall does not take"):
        open_meters(config(plug, colour="red"), "cpu")
    with pytest.raises(ConfigError, match="no meter is called 'wal'; did you mean 'wall'"):
        open_meters(PluginMeterConfig(kind="plugin", name="wal"), "cpu")


@pytest.mark.slow
def test_a_search_is_measured_by_it(installed, plug, tmp_path):
    meter = config(plug).model_dump()
    changes = {"budget": {"trials": 1}, "measure": {"max_seconds": 0.5, "meter": meter}}
    result = search(quick_config(tmp_path, **changes))
    (row,) = result.trials.to_dict("records")
    assert row["inference_energy_provenance"] in ("measured", "attributed")
    # all of the plug's watts at most: less when others worked meanwhile
    assert 0 < row["inference_energy_j"] < 1.5 * WATTS * row["latency_ms"] / 1e3
    assert result.results[0].inference.source == f"wall:{plug.url}"
