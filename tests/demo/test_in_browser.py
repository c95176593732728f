"""The page as a user meets it, in headless Chromium; left out where Gradio, Playwright or Chromium is missing."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from agad_tf.training.run import train
from tests.runs import digits_run

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
WAIT = 20_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The command at work on a run, and the address that it has told."""
    place = tmp_path_factory.mktemp("demo")
    config = digits_run(place / "run", epochs=1)
    train(config)
    (place / "tmp").mkdir()
    # Whoever starts the tests in the background ignores Ctrl-C, and processes inherit that.
    hears = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_module"
    command = [sys.executable, "-c", f"{hears}('agad_tf.main', run_name='__main__')"]
    command += ["--mode=demo", f"--workdir={config.folder}"]
    environment = {**os.environ, "TMPDIR": str(place / "tmp"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        yield process, re.search(r"Open (\S+) in", line)[1], place
        process.kill()


@pytest.fixture
def page(demo):
    """The page in a browser, and the addresses that the browser asks for."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(demo[1])
        page.wait_for_selector("input[type=file]", state="attached")
        yield page, asked
        browser.close()


def test_dropped_images_are_scored_judged_and_downloaded_on_this_machine_alone(page, demo, tmp_path):
    page, asked = page
    Image.fromarray((load_digits().images[8] * 255 / 16).astype(np.uint8)).save(tmp_path / "eight.png")
    (tmp_path / "broken.png").write_bytes(b"rubbish")
    assert "normal validation images" in page.inner_text(".told")
    page.set_input_files("input[type=file]", [tmp_path / "eight.png", tmp_path / "broken.png"])
    page.wait_for_selector(".card img")
    assert "broken.png cannot be read" in page.inner_text(".card.complaint")
    for image in page.query_selector_all(".card img"):
        image.wait_for_element_state("stable")
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8

    for end, verdict in (("min", "flagged"), ("max", "passed")):
        number = page.query_selector("input[type=number]")
        number.fill(page.get_attribute("input[type=range]", end))
        number.press("Enter")
        page.wait_for_selector(f".card.{verdict}")
    assert re.search(r"0 of \d+ normal validation images", page.inner_text(".told"))
    with page.expect_download() as download:
        page.get_by_text("Download the scores").click()
    header, row = Path(download.value.path()).read_text().splitlines()
    assert header == "path,score,probability,is_anomaly,bytes,modified_ns"
    assert re.match(r"eight\.png,[\d.]+,[\d.]+,0,\d+,$", row)

    hosts = {urlsplit(address).netloc for address in asked if not address.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(demo[1]).netloc}
    blocked = "fetch('http://localhost:9/').then(() => 'fetched', error => document.title + error)"
    with page.expect_event("console", lambda message: "Content Security Policy" in message.text):
        assert "fetched" not in page.evaluate(blocked)


# The last of this file, as it ends the command.
def test_ctrl_c_ends_the_demo_with_a_sentence_and_deletes_what_was_dropped(demo):
    process, _, place = demo
    assert list((place / "tmp").glob("agad_tf-*"))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert said == "The demo has ended, and the dropped images are deleted.\n"
    assert process.returncode == 0
    assert not list((place / "tmp").glob("agad_tf-*"))
