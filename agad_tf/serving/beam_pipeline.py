"""The Apache Beam pipeline of `agad_tf.beam`: read, decode, score, write.

Workers import this module, so they need `agad_tf[beam]`, and they must see the same files.
"""

import argparse
import csv
import hashlib
import io
import logging
import os
import textwrap
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf.message import DecodeError

from agad_tf.config.errors import RunError, UsageError
from agad_tf.data.pixel_range import FULL_RANGE, PixelRange
from agad_tf.data.readers import decode_picture

MAX_BATCH_SIZE = 256
UNREADABLE = "unreadable"
SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float32()), ("is_anomaly", pa.bool_())])


def run(options: argparse.Namespace, beam_arguments: Sequence[str]) -> dict[str, int]:
    """Runs the pipeline and waits for its end.

    Args:
        options: of `agad_tf.beam`.
        beam_arguments: Beam's own, `--runner` among them.

    Returns:
        How many images were "scored" and how many files or records were "unreadable".

    Raises:
        UsageError: no file matches the pattern, the model is not a detector, or Beam refuses its arguments.
        RunError: the pipeline failed.
    """
    _require_match(options.input)
    image_size, channels, pixel_range = _image_form(options.model)
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(beam_arguments))
    except ValueError as error:
        raise UsageError(f"Beam refuses its arguments: {_sentence(error)}") from error
    if options.input_format == "images":
        files = pipeline | "match" >> fileio.MatchFiles(options.input)
        # Without it, runners do all the work on the one worker that matched the pattern.
        spread = files | "spread over workers" >> beam.Reshuffle()
        encoded = spread | "open" >> fileio.ReadMatches() | "read" >> beam.Map(read_file)
    else:
        records = pipeline | "read" >> beam.io.ReadFromTFRecord(options.input)
        encoded = records | "parse" >> beam.Map(parse_example, options.image_feature, options.id_feature)
    images = encoded | "decode" >> beam.ParDo(Decode(image_size, channels, pixel_range)).with_outputs(
        UNREADABLE, main="images"
    )
    rows = (
        images.images
        | "score" >> RunInference(KeyedModelHandler(DetectorHandler(options.model)))
        | "count" >> beam.ParDo(ToRow())
    )
    if options.output_format == "csv":
        header = to_csv_line({name: name for name in SCHEMA.names})
        lines = rows | "to csv" >> beam.Map(to_csv_line)
        _ = lines | "write" >> beam.io.WriteToText(options.output, ".csv", header=header)
    else:
        _ = rows | "write" >> beam.io.WriteToParquet(options.output, SCHEMA, file_name_suffix=".parquet")
    _ = images[UNREADABLE] | "list unreadable" >> beam.io.WriteToText(f"{options.output}-unreadable", ".txt")
    # Beam also logs a traceback of what it raises.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:  # each runner raises exceptions of its own libraries
        raise RunError(f"The pipeline failed: {_sentence(error)}") from error
    try:
        counters = result.metrics().query(MetricsFilter().with_namespace(__name__))["counters"]
    except NotImplementedError as error:
        raise RunError(
            "The pipeline has ended, but its runner reports no counts, so it is unknown whether all images were "
            "scored; compare {options.output}* with the images, or use another runner."
        ) from error
    committed: dict[str, int] = defaultdict(int)
    for counter in counters:
        committed[counter.key.metric.name] += counter.result  # attempted counts, if a runner reports no committed ones
    return {name: committed[name] for name in ("scored", UNREADABLE)}


class Decode(beam.DoFn):
    """Pairs of id and file content to pairs of id and pixels; ids of unreadable images go to a separate output.

    Args:
        image_size: height and width that the detector resizes images to.
        channels: of the detector, 1 or 3.
        pixel_range: by which the detector's training images were read.
    """

    def __init__(self, image_size: tuple[int, int], channels: int, pixel_range: PixelRange):
        self.image_size, self.channels, self.pixel_range = image_size, channels, pixel_range
        self.unreadable = Metrics.counter(__name__, UNREADABLE)

    def process(self, element: tuple[str, bytes]) -> Iterator[Any]:
        """Decodes one image."""
        name, data = element
        try:
            yield name, decode_picture(name, data, self.channels, self.pixel_range, to_be=self.image_size)
        except RunError:
            self.unreadable.inc()
            yield beam.pvalue.TaggedOutput(UNREADABLE, name)


class DetectorHandler(ModelHandler[np.ndarray, tuple[float, bool], Any]):
    """Tells RunInference how to load and call the SavedModel.

    Beam's own handler for TensorFlow loads models with Keras, and Keras 3 cannot read a SavedModel.

    Args:
        path: of the SavedModel.
    """

    def __init__(self, path: str):
        super().__init__(max_batch_size=MAX_BATCH_SIZE)
        self.path = path

    def load_model(self) -> Any:
        """Loads the detector, once for each process."""
        return tf.saved_model.load(self.path)

    def run_inference(
        self, batch: Sequence[np.ndarray], model: Any, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[tuple[float, bool]]:
        """Scores uint8 images (height, width, channels); images of one size form a batch."""
        places = defaultdict(list)
        for place, image in enumerate(batch):
            places[image.shape].append(place)
        results: dict[int, tuple[float, bool]] = {}
        for alike in places.values():
            found = model.serve(tf.constant(np.stack([batch[place] for place in alike])))
            pairs = zip(found["score"].numpy().tolist(), found["is_anomaly"].numpy().tolist(), strict=True)
            results.update(zip(alike, pairs, strict=True))
        return [results[place] for place in range(len(batch))]


class ToRow(beam.DoFn):
    """Pairs of id and prediction to rows of `SCHEMA`."""

    def __init__(self) -> None:
        self.scored = Metrics.counter(__name__, "scored")

    def process(self, element: tuple[str, tuple[float, bool]]) -> Iterator[dict[str, Any]]:
        """Makes one row."""
        self.scored.inc()
        name, (score, is_anomaly) = element
        yield {"id": name, "score": score, "is_anomaly": is_anomaly}


def read_file(file: fileio.ReadableFile) -> tuple[str, bytes]:
    """The path of a file and its content; empty content if it cannot be read.

    In a name that is not UTF-8, which Beam cannot pass on, invalid bytes are written as escapes.
    """
    name = os.fsencode(file.metadata.path).decode(errors="backslashreplace")
    try:
        return name, file.read()
    except (OSError, EOFError, zlib.error):
        return name, b""


def parse_example(record: bytes, image_feature: str, id_feature: str) -> tuple[str, bytes]:
    """The id and the encoded image of a serialised `tf.train.Example`; both empty if it cannot be parsed.

    An example without an id gets the SHA-1 digest of its record.
    """
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        features = {}
    names = features[id_feature].bytes_list.value if id_feature in features else []
    images = features[image_feature].bytes_list.value if image_feature in features else []
    name = names[0].decode(errors="replace") if names else hashlib.sha1(record, usedforsecurity=False).hexdigest()
    return name, images[0] if images else b""


def to_csv_line(row: Mapping[str, Any]) -> str:
    """One line of CSV, without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([row[name] for name in SCHEMA.names])
    return line.getvalue()


def _require_match(pattern: str) -> None:
    try:
        found = FileSystems.match([pattern], limits=[1])[0].metadata_list
    except ValueError as error:
        # A file system that Beam does not know, or for which it needs another package.
        raise UsageError(f"Files of --input={pattern} cannot be listed: {_sentence(error)}") from error
    if not found:
        raise UsageError(f"No file matches --input={pattern}; in a shell, put the pattern in quotes.")


def _image_form(model: str) -> tuple[tuple[int, int], int, PixelRange]:
    """Height and width that images are resized to, channels, and the range of values.

    Earlier versions did not save the range.
    """
    try:
        detector = tf.saved_model.load(model)
        _, height, width, channels = detector.signatures["serve"].structured_outputs["reconstruction"].shape
        bits, low, high = detector.pixel_range.numpy().tolist() if hasattr(detector, "pixel_range") else FULL_RANGE
        return (height, width), channels, PixelRange(int(bits), low, high)
    except (OSError, KeyError, tf.errors.OpError) as error:
        raise UsageError(f"--model={model} is not a detector; name the saved_model folder of a run.") from error


def _sentence(error: Exception) -> str:
    """The message of an exception in one line; exceptions from a worker end with it, after a traceback."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return textwrap.shorten(lines[-1] if lines[0].startswith("Traceback") else " ".join(lines), 400)
