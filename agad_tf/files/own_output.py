"""What predictions write beside their tables: images that nobody brought, and that are never read as input."""

from pathlib import Path

SCORES, DETECTOR = "scores.csv", "detector.json"
MAPS, SCALE = "maps", "colour_scale.png"


def own_images(folder: Path) -> frozenset[str]:
    """Names of a folder's files and folders that predictions have written as images; empty where none were.

    Args:
        folder: that may be one of predictions.
    """
    is_of_predictions = (folder / DETECTOR).exists() and (folder / SCORES).exists()
    return frozenset({MAPS, SCALE}) if is_of_predictions else frozenset()
