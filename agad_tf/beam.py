"""Scoring at scale: `python -m agad_tf.beam --input='photos/*.png' --model=runs/a/saved_model --output=scores/photos`.

The pipeline itself is in `agad_tf.serving.beam_pipeline`. Arguments that are not listed here are Beam's own
(`--runner`, `--direct_num_workers`, `--project`, …), so this command uses argparse, as Beam does, and not absl.
"""

import argparse
import sys
from types import ModuleType

from agad_tf.config.command_line import one_sentence_on_failure, silenced_start
from agad_tf.config.errors import UsageError

INPUT_FORMATS = ("images", "tfrecord")
OUTPUT_FORMATS = ("csv", "parquet")


def main(arguments: list[str]) -> None:
    """Scores the images that the arguments name; an error ends it with one sentence and an exit code."""
    options, beam_arguments = parse(arguments)
    with one_sentence_on_failure("Interrupted; the same command starts over."):
        with silenced_start():
            pipeline = _import_pipeline()
        counts = pipeline.run(options, beam_arguments)
    print(f"{counts['scored']} images scored, {counts['unreadable']} unreadable; see {options.output}*.")


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """This command's own options, and the arguments that are left for Beam."""
    parser = argparse.ArgumentParser(prog="python -m agad_tf.beam", description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="file pattern, such as 'photos/**', on any file system of Beam")
    parser.add_argument("--input_format", choices=INPUT_FORMATS, default="images", help="kind of the input files")
    parser.add_argument(
        "--image_feature", default="image", help="feature of a TFRecord's examples that holds the encoded image"
    )
    parser.add_argument(
        "--id_feature", default="id", help="feature of a TFRecord's examples that holds the image's name"
    )
    parser.add_argument("--model", required=True, help="SavedModel folder of a run")
    parser.add_argument("--output", required=True, help="path and file name prefix of the output shards")
    parser.add_argument("--output_format", choices=OUTPUT_FORMATS, default="csv", help="format of the output files")
    return parser.parse_known_args(arguments)


def _import_pipeline() -> ModuleType:
    try:
        import apache_beam  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise UsageError('Apache Beam is not installed; install it with: pip install "agad_tf[beam]"') from error
    from agad_tf.serving import beam_pipeline  # noqa: PLC0415

    return beam_pipeline


if __name__ == "__main__":
    main(sys.argv[1:])
