"""The model card of an export: what it is, how good, what it costs, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ecoautoml.deploy.example import library_words
from ecoautoml.deploy.formats import FORMATS
from ecoautoml.deploy.preprocessing import Preprocessing
from ecoautoml.deploy.sources import prepared_data
from ecoautoml.deploy.verify import Agreement
from ecoautoml.records.columns import batch_columns
from ecoautoml.reports.wording import format_metric, known, known_text
from ecoautoml.result import SearchResult

CARD_FILE = "README.md"
_CLASSES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a model card is written from.

    Attributes:
        row: The trial's row of `SearchResult.trials`.
        preprocessing: The exported model.
        counts: Images per split; empty where the run's images are gone.
        hardware: What was measured on, by title.
        measured_batch_size: Images per call of the trial's main measurement.
        is_copy: Whether the file is the one that was measured.
        agreement: How far a file exported anew agrees with its network.
    """

    row: Mapping[str, Any]
    preprocessing: Preprocessing
    counts: Mapping[str, int]
    hardware: Mapping[str, str]
    measured_batch_size: int
    is_copy: bool
    agreement: Agreement | None

    @classmethod
    def of(
        cls,
        result: SearchResult,
        trial: int,
        preprocessing: Preprocessing,
        *,
        is_copy: bool,
        agreement: Agreement | None,
    ) -> Self:
        """Gather it from a run."""
        trials = result.trials
        prepared = prepared_data(result.folder)
        return cls(
            row={str(k): v for k, v in trials[trials["trial"] == trial].iloc[0].items()},
            preprocessing=preprocessing,
            counts={} if prepared is None else prepared.counts,
            hardware={k: v for k, v in result.summary.hardware.items() if v},
            measured_batch_size=result.config.measure.batch_size,
            is_copy=is_copy,
            agreement=agreement,
        )

    def text(self) -> str:
        """Return the card as Markdown."""
        made = self.preprocessing
        parts = [
            f"# {made.run}, trial {made.trial}",
            self._what(),
            "## Figures\n\n" + "\n".join(["| | |", "|---|---|", *self._figures()]),
            self._origin(),
            "## Use\n\n" + self._use(),
            "## Classes\n\n" + self._classes(),
            "## Licence\n\nYours: weights trained on your images belong to you. Where training "
            "began with published weights, their licence holds too.",
        ]
        return "\n\n".join(parts) + "\n"

    def _what(self) -> str:
        made = self.preprocessing
        ran_by = next((f.ran_by for f in FORMATS if f.name == made.model_format), made.runtime)
        colour = "grey" if made.channels == 1 else "RGB"
        return (
            f"An image classifier with {len(made.class_names)} classes, found and trained by "
            f"ecoautoml. It takes {colour} images of "
            f"{made.side}×{made.side} pixels (uint8, NCHW), {made.batch_size} per call; "
            f"normalisation is inside the model. Files: {', '.join(f'`{f}`' for f in made.files)}, "
            f"{made.precision}, run by {ran_by}."
        )

    def _figures(self) -> list[str]:
        energy, latency = self._measured_columns()
        low, high = self._metric(f"{energy}_low"), self._metric(f"{energy}_high")
        provenance = self._text(f"{energy.removesuffix('_j')}_provenance")
        interval = "" if self._number(energy) is None else f" (95 % interval {low} to {high})"
        rows = [
            ("validation accuracy", self._score("validation_accuracy", "validation")),
            ("test accuracy", self._score("test_accuracy", "test")),
            (
                f"energy per image, batch {self._measured_batch}",
                f"{self._metric(energy, provenance)}{interval}, {provenance or 'unknown'}",
            ),
            (f"latency per call, batch {self._measured_batch}", self._metric(latency)),
            ("size of the measured file", self._metric("size_bytes")),
            ("parameters", self._metric("params")),
            (
                "training this model took",
                self._metric("training_energy_j", self._text("training_energy_provenance")),
            ),
        ]
        return [f"| {title} | {value} |" for title, value in rows]

    def _origin(self) -> str:
        """Say whose figures these are, and what of the file was checked."""
        hardware = "; ".join(f"{title}: {value}" for title, value in self.hardware.items())
        note = self._text("inference_energy_note")
        told = f" Note: {note}." if note else ""
        if self.agreement is None and self.is_copy and self._is_measured_file:
            whose = "Energy and latency were measured of this very file."
        else:
            whose = (
                "Accuracy, energy and latency are those of the file the search measured "
                f"(batch {self._measured_batch}), not of this one: `ecoautoml measure` tells this "
                "one's."
            )
        checked = "" if self.agreement is None else f" Checked: {self.agreement.words}."
        return f"{whose}{told}{checked}\n\nMeasured on: {hardware or 'unknown'}."

    def _use(self) -> str:
        made = self.preprocessing
        python = (
            "from ecoautoml import EcoModel\n\n"
            'with EcoModel.load("PATH/OF/THIS/FOLDER") as model:\n'
            '    for found in model.predict(["image.png"]):\n'
            "        print(found.class_name, found.probability)"
        )
        return (
            f"Without ecoautoml ({library_words(made)}):\n\n"
            "```\npython example.py image.png\n```\n\n"
            f"With it:\n\n```python\n{python}\n```\n\n"
            "`preprocessing.json` says what the model takes, for programs of your own."
        )

    def _classes(self) -> str:
        names = self.preprocessing.class_names
        shown = ", ".join(names[:_CLASSES_SHOWN])
        more = len(names) - _CLASSES_SHOWN
        return f"{shown} and {more} more, in `preprocessing.json`." if more > 0 else f"{shown}."

    def _measured_columns(self) -> tuple[str, str]:
        """Return the columns of energy and latency: at this batch size, where it was measured."""
        columns = batch_columns(self.preprocessing.batch_size)
        if self._measured_batch != self.measured_batch_size:
            return columns["energy_j"], columns["latency_ms"]
        return "inference_energy_j", "latency_ms"

    @property
    def _measured_batch(self) -> int:
        size = self.preprocessing.batch_size
        is_other = self._number(batch_columns(size)["energy_j"]) is not None
        return size if is_other and size != self.measured_batch_size else self.measured_batch_size

    @property
    def _is_measured_file(self) -> bool:
        made = self.preprocessing
        return made.batch_size == self._measured_batch and made.model_format != "safetensors"

    def _score(self, column: str, split: str) -> str:
        value = self._number(column)
        if value is None:
            return "unknown (only models of the front are scored on test images)"
        count = self.counts.get(split)
        return f"{value:.4f}" + ("" if count is None else f" ({count} images)")

    def _metric(self, column: str, provenance: str | None = None) -> str:
        value = self._number(column)
        name = "inference_energy_j" if "energy" in column else column
        return "unknown" if value is None else format_metric(name, value, provenance)

    def _number(self, column: str) -> float | None:
        return known(self.row.get(column))

    def _text(self, column: str) -> str | None:
        return known_text(self.row.get(column))
