"""What a search returns, and what a run folder can be opened as later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pandas as pd

from ecoautoml.config.models import SearchConfig
from ecoautoml.errors import RunError
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.session_record import SessionRecord, all_notes, unexplained_s
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.records.turn import Turn
from ecoautoml.reports.bill import EnergyBill, energy_bill
from ecoautoml.reports.closing import idle_words
from ecoautoml.reports.figures import front as front_figure
from ecoautoml.reports.frame import Frames, make_frames
from ecoautoml.reports.html import write_report
from ecoautoml.reports.knee import Knee, knee
from ecoautoml.reports.ranking import ranking_words
from ecoautoml.reports.summary import RunSummary
from ecoautoml.study.finalists import settled
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.run_folder import ENVIRONMENT_FILE, RunFolder

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from torch import nn


class PrunerCheck(NamedTuple):
    """Trials a shadowing pruner would have stopped, and how many of them joined the front."""

    would_have_stopped: int
    on_front: int


class SearchResult:
    """A run: its front, all its trials, its models. Read-only.

    Attributes:
        folder: The run folder.
        config: What was asked for.
        is_interrupted: Whether the search was ended by the user before its budget was.
    """

    def __init__(
        self,
        folder: Path,
        config: SearchConfig,
        results: list[TrialResult],
        summary: RunSummary,
        *,
        is_interrupted: bool = False,
        turns: Mapping[int, tuple[Turn, ...]] | None = None,
    ) -> None:
        self._turns = dict(turns or {})
        self.folder, self.config, self.is_interrupted = folder, config, is_interrupted
        self._results, self._summary = results, summary

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Open a run folder, finished or not.

        Raises:
            RunError: The folder holds no run.
        """
        run = RunFolder(Path(folder))
        config = run.config()
        ledger = Ledger(run.storage(config), config.name, config.objectives, is_read_only=True)
        return cls.from_ledger(run.path, config, ledger)

    @classmethod
    def from_ledger(
        cls, folder: Path, config: SearchConfig, ledger: Ledger, *, is_interrupted: bool = False
    ) -> Self:
        """Gather what a ledger holds."""
        summary = _summary(folder, config, ledger)
        found = sorted((*ledger.results(), *ledger.paused()), key=lambda one: one.number)
        results = settled(found, config.objectives, ledger.ranking(), ledger.lost(), config.prefer)
        return cls(
            folder,
            config,
            results,
            summary,
            is_interrupted=is_interrupted,
            turns=ledger.all_turns(),
        )

    @property
    def front(self) -> pd.DataFrame:
        """Return the Pareto front: one row per model, cheapest first."""
        return self._frames.front

    @property
    def trials(self) -> pd.DataFrame:
        """Return all trials: one row each, in order."""
        return self._frames.trials

    @property
    def knee(self) -> Knee | None:
        """Return the suggested compromise and the reason; None when the front is empty."""
        return knee(self.front, self.config.objectives, self.config.prefer)

    @property
    def bill(self) -> EnergyBill:
        """Return where the joules went."""
        return energy_bill(self._results, self._summary)

    @property
    def pruner_check(self) -> PrunerCheck | None:
        """Return what a shadowing pruner would have done; None when there was none."""
        if not getattr(self.config.pruner, "shadow", False):
            return None
        numbers = {r.number for r in self._results if r.would_have_stopped is not None}
        return PrunerCheck(len(numbers), len(numbers & set(self.front["trial"])))

    @property
    def ranking_words(self) -> list[str]:
        """Return how the front was measured in turn, and its ties, in sentences."""
        return ranking_words(self._summary, self._frames)

    @property
    def summary(self) -> RunSummary:
        """Return what the report says of the run beside its trials."""
        return self._summary

    @property
    def results(self) -> list[TrialResult]:
        """Return the trials as records."""
        return list(self._results)

    def trial(self, number: int) -> TrialResult | None:
        """Return one trial; None while it has no result.

        Raises:
            RunError: There is no such trial.
        """
        if number not in self._turns:
            last = max(self._turns, default=None)
            known = "it has none yet" if last is None else f"they go from 0 to {last}"
            raise RunError(f"{self.folder} has no trial {number}; {known}")
        return next((one for one in self._results if one.number == number), None)

    def turns(self, number: int) -> tuple[Turn, ...]:
        """Return why a trial was begun, halted, gone on with or stopped, in order.

        Raises:
            RunError: There is no such trial.
        """
        self.trial(number)
        return self._turns[number]

    def plot(self) -> go.Figure:
        """Return the front as a plotly figure."""
        return front_figure.figure(self._results, self._summary, self._frames)

    def load(self, trial: int) -> nn.Module:
        """Return a trained model in evaluation mode; it takes raw pixels (b, c, h, w), 0..255.

        Raises:
            RunError: No model of that trial is kept.
        """
        from ecoautoml.models.checkpoint import load_checkpoint

        return load_checkpoint(self.model_folder(trial))

    def model_folder(self, trial: int) -> Path:
        """Return the folder with a trial's weights, candidate and exported file.

        Raises:
            RunError: No model of that trial is kept.
        """
        row = self.trials[self.trials["trial"] == trial]
        if not row.empty and not pd.isna(row["reused_from"].iloc[0]):
            trial = int(row["reused_from"].iloc[0])
        run = RunFolder(self.folder)
        if not run.has_model(trial):
            kept = ", ".join(str(number) for number in self.front["trial"]) or "none"
            raise RunError(
                f"no model of trial {trial} is kept in {self.folder}; on the front: {kept} "
                "(keep_models: all keeps every finished one)"
            )
        return run.model(trial)

    def write(self) -> None:
        """Write front.csv, trials.parquet and report.html into the run folder.

        Raises:
            RunError: The folder cannot be written.
        """
        try:
            self.front.to_csv(self.folder / "front.csv", index=False)
            self.trials.to_parquet(self.folder / "trials.parquet", index=False)
            write_report(self.folder / "report.html", self._results, self._summary, self._frames)
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written ({error.strerror})") from error

    def _repr_html_(self) -> str:
        return self.front.to_html(index=False, max_cols=12)

    def __repr__(self) -> str:
        return (
            f"<SearchResult {self.folder}: {len(self.trials)} trials, "
            f"{len(self.front)} models on the front>"
        )

    @cached_property
    def _frames(self) -> Frames:
        return make_frames(self._results, self._summary)


def _summary(folder: Path, config: SearchConfig, ledger: Ledger) -> RunSummary:
    recorded = _environment(folder)
    scores: dict[str, float] = ledger.attribute("test_scores") or {}
    sessions = ledger.sessions()
    return RunSummary(
        name=config.name,
        objectives=config.objectives,
        constraints=config.constraints,
        prefer=config.prefer,
        elapsed_s=sum(session.elapsed_s for session in sessions),
        test_scores={int(number): score for number, score in scores.items()},
        overhead=tuple(line for session in sessions for line in session.lines),
        idle=tuple(one.idle for one in sessions if one.idle is not None),
        others=tuple(one.others for one in sessions if one.others is not None),
        metered=_metered(sessions),
        idle_w=idle_words(sessions[-1]) if sessions else None,
        interrupted=ledger.interrupted_energy(),
        unexplained_s=unexplained_s(sessions),
        hardware={**recorded.get("hardware", {}), "energy": "; ".join(recorded.get("meters", []))},
        carbon_intensity_gco2e_per_kwh=config.carbon.intensity_gco2e_per_kwh,
        zone=config.carbon.zone,
        pue=config.carbon.pue,
        ranking=ledger.ranking(),
        error_rate=_error_rate(config),
        notes=all_notes(sessions),
    )


def _error_rate(config: SearchConfig) -> float | None:
    """Return the stated share of wrong stops; None where none is stated, or nothing stopped."""
    pruner = config.pruner
    return pruner.alpha if pruner.kind == "auto" and not pruner.shadow else None


def _metered(sessions: Sequence[SessionRecord]) -> tuple[EnergyLine, ...]:
    """Return what the device used in each session; nothing when one of them does not know."""
    lines = [one.metered for one in sessions]
    return () if None in lines else tuple(line for line in lines if line is not None)


def _environment(folder: Path) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads((folder / ENVIRONMENT_FILE).read_text())
    except FileNotFoundError:
        raise RunError(f"{folder} holds no run (there is no {ENVIRONMENT_FILE} in it)") from None
    return tree
