"""Images that predictions write beside their tables; these are never read as input."""

from pathlib import Path

SCORES, DETECTOR = "scores.csv", "detector.json"
MAPS, SCALE = "maps", "colour_scale.png"


def own_images(folder: Path) -> frozenset[str]:
    """Names of the files and folders in a folder that hold images written by predictions; empty if there are none.

    Args:
        folder: which predictions may have written to.
    """
    is_of_predictions = (folder / DETECTOR).exists() and (folder / SCORES).exists()
    return frozenset({MAPS, SCALE}) if is_of_predictions else frozenset()
