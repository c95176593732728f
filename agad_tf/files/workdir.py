"""Paths of the files of a run."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Workdir:
    """The files of a run, all below one folder."""

    root: Path

    @property
    def config(self) -> Path:
        """Every flag's value."""
        return self.root / "config.cfg"

    @property
    def results(self) -> Path:
        """The figures; written last, so a run with this file is finished."""
        return self.root / "results.json"

    @property
    def scores(self) -> Path:
        """The score of each test image."""
        return self.root / "scores.csv"

    @property
    def validation_scores(self) -> Path:
        """The score of each validation image; runs of earlier versions do not have it."""
        return self.root / "validation_scores.csv"

    @property
    def left_out(self) -> Path:
        """Image files that could not be read."""
        return self.root / "left_out.csv"

    @property
    def pixel_range(self) -> Path:
        """The values that are black and white in images of more than 8 bits."""
        return self.root / "pixel_range.json"

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.root / "report.html"

    @property
    def tensorboard(self) -> Path:
        """Folder of the event files."""
        return self.root / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def data_set(self) -> Path:
        """Record of the user's own set; runs of earlier versions do not have it."""
        return self.checkpoints / "data_set.json"

    @property
    def lock(self) -> Path:
        """Lock of the process that may write here."""
        return self.checkpoints / "lock"

    @property
    def family_scores(self) -> Path:
        """The test scores of the epoch that the family protocol reports."""
        return self.checkpoints / "family_best_epoch.npz"

    @property
    def saved_model(self) -> Path:
        """Folder of the detector."""
        return self.root / "saved_model"

    def portable(self, export_format: str) -> Path:
        """The detector as "onnx" or "litert", for use without TensorFlow."""
        return self.root / ("model.onnx" if export_format == "onnx" else "model.tflite")
