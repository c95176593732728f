import sys

import numpy as np
import pytest
from PIL import Image

from agad_tf.training import run
from tests.benchmarks import strip
from tests.benchmarks.strip import COLUMNS, FLAWS, HEADER, MARGIN

SIDE = 64


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_where_its_mask_is_and_the_texture_elsewhere(flaw):
    image = strip.texture(np.random.default_rng(0))
    flawed, mask = flaw(image, np.random.default_rng(1))
    changed = np.abs(flawed - image)
    assert 0.001 < mask.mean() < 0.1
    assert changed[mask].mean() > 10
    assert np.mean(changed[~mask] > 20) < 0.01


def test_a_small_detector_is_drawn_with_a_row_for_each_kind_of_flaw(monkeypatch, tmp_path):
    monkeypatch.setattr(strip, "SIDE", SIDE)
    # It is not drawn.
    monkeypatch.setattr(run, "export_saved_model", lambda *_: None)
    output = tmp_path / "strip.png"
    small = ("--good=8", "--tested=1", "--epochs=1", "--steps=1", "--width=0.03125", f"--workdir={tmp_path}")
    monkeypatch.setattr(sys, "argv", ["strip", f"--output={output}", *small])
    strip.main()
    sheet = np.asarray(Image.open(output).convert("RGB"))
    step = SIDE + MARGIN
    assert sheet.shape == (HEADER + len(FLAWS) * step - MARGIN, len(COLUMNS) * step - MARGIN, 3)
    assert (sheet[0, 0] == 255).all()
    original = np.asarray(Image.open(tmp_path / "images/test/stain/000.png"))
    shown = sheet[HEADER + step :, :SIDE][:SIDE, :, 0].astype(int)
    assert np.abs(shown - original).max() <= 2
    mask = np.asarray(Image.open(tmp_path / "images/ground_truth/stain/000_mask.png"))
    np.testing.assert_array_equal(sheet[HEADER + step :, 3 * step :][:SIDE, :, 0], mask)
    assert np.ptp(sheet[HEADER:, 2 * step : 2 * step + SIDE].astype(int), axis=-1).max() > 50, "in colours"
