"""The page itself, made with Gradio; it is served only to this machine."""

import dataclasses
from pathlib import Path
from typing import Any

import gradio as gr
import tensorflow as tf
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from agad_tf.demo.findings import Detector, Finding, findings_of, slider_range, write_table
from agad_tf.demo.fragments import STYLE, cards, summary

HOST = "127.0.0.1"
# The browser fetches nothing from other servers, whatever a version of Gradio requests.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
PROGRESS = gr.Progress()
EXPLANATION = """# {title}
Drop images below. Each gets a score, a probability ({probability}) and an error map that shows where it is unusual.
Images that score at or above the threshold are flagged as abnormal. The detector's own threshold is {threshold:.5g}
({threshold_source}); the arrow beside the number goes back to it. The page runs on this machine, and your images do not
leave it.
"""


async def with_policy(request: Any, answer: Any) -> Any:
    """Answers a request, and allows the browser to fetch only from this page's own address."""
    response = await answer(request)
    response.headers["Content-Security-Policy"] = POLICY
    return response


@dataclasses.dataclass(frozen=True)
class Page:
    """The page of a detector.

    Args:
        detector: for the images.
        folder: for the files that the page shows.
        title: of the page.
    """

    detector: Detector
    folder: Path
    title: str

    def launch(self) -> str:
        """Serves the page until the process ends, and returns its address."""
        theme = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
        middleware = [
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(BaseHTTPMiddleware, dispatch=with_policy),
        ]
        _, address, _ = self._blocks().launch(
            server_name=HOST,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            allowed_paths=[str(self.folder)],
            app_kwargs={"middleware": middleware},
            theme=theme,
            css=STYLE,
        )
        return address

    def _blocks(self) -> Any:
        decision = self.detector.decision
        lowest, highest, step = slider_range(self.detector, [])
        text = EXPLANATION.format(
            title=self.title,
            probability=decision.probability_source,
            threshold=decision.threshold,
            threshold_source=decision.threshold_source,
        )
        shown, *_ = self._judge([], decision.threshold)
        with gr.Blocks(analytics_enabled=False, title=self.title) as blocks:
            known = gr.State([])
            gr.Markdown(text)
            with gr.Row():
                files = gr.File(file_count="multiple", label="Images", scale=2, height=220)
                with gr.Column(scale=3):
                    threshold = gr.Slider(lowest, highest, decision.threshold, step=step, label="Threshold")
                    told = gr.HTML(shown)
            found = gr.HTML()
            download = gr.DownloadButton("Download the scores as CSV", visible=False)
            judged = [told, found, download]
            files.change(self._look, [files, known, threshold], [known, threshold, *judged])
            threshold.change(
                self._judge, [known, threshold], judged, show_progress="hidden", trigger_mode="always_last"
            )
        return blocks

    def _look(
        self, files: list[str] | None, known: list[Finding], threshold: float, progress: Any = PROGRESS
    ) -> tuple[Any, ...]:
        """Scores new files, and forgets those that the user has removed."""
        paths = list(dict.fromkeys(files or []))
        kept = [each for each in known if each.path in paths]
        left = [path for path in paths if path not in {each.path for each in kept}]
        try:
            for finding in findings_of(self.detector, left, self.folder):
                kept.append(finding)
                progress((len(kept), len(paths)), desc="scoring", unit="images")
        except (tf.errors.OpError, OSError) as error:
            raise gr.Error(f"Scoring failed: {str(error).splitlines()[0]}", print_exception=False) from error
        lowest, highest, _ = slider_range(self.detector, kept)
        return kept, gr.Slider(minimum=lowest, maximum=highest), *self._judge(kept, threshold)

    def _judge(self, findings: list[Finding], threshold: float) -> tuple[Any, ...]:
        """The summary, the cards and the table of scores, by a threshold."""
        lowest, highest, _ = slider_range(self.detector, findings)
        told = summary(self.detector.validation, findings, threshold, lowest, highest)
        table = self.folder / "scores.csv"
        write_table(table, findings, threshold)
        return told, cards(findings, threshold), gr.DownloadButton(value=str(table), visible=bool(findings))
