"""Requests that TensorFlow Serving sends to a detector when it loads it, so that the first user need not wait."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from agad_tf.data.preprocessing import ImageSize, sides_of
from agad_tf.data.scoring_batches import images_at_a_time

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
BATCH_SIZES = (1, 8)
# Side of the black images in pixels, which the detector enlarges: large ones would make the file gigabytes.
LARGEST_SIDE = 256


def write_warm_up_requests(image_size: ImageSize, channels: int, saved_model: Path) -> None:
    """Writes a request for every signature of Predict, at several batch sizes, where TensorFlow Serving looks for them.

    Args:
        image_size: of the images that are scored; the requests hold black ones.
        channels: of the images, 1 or 3.
        saved_model: folder of the SavedModel.
    """
    path = saved_model / FILE
    path.parent.mkdir(exist_ok=True)
    height, width = (min(side, LARGEST_SIDE) for side in sides_of(image_size))
    picture = np.zeros((height, width, channels), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(picture[..., 0] if channels == 1 else picture).save(encoded, "PNG")
    inputs: dict[str, tuple[str, np.ndarray]] = {
        "serving_default": ("images", picture.astype(np.float32)),
        "serve": ("images", picture.astype(np.float32)),
        "serve_uint8": ("images", picture),
        "serve_bytes": ("encoded", np.array(encoded.getvalue(), object)),
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (name, example) in inputs.items():
            for size in sorted({min(size, images_at_a_time(image_size)) for size in BATCH_SIZES}):
                writer.write(_prediction_log(signature, name, np.stack([example] * size)))


def _prediction_log(signature: str, name: str, batch: np.ndarray) -> bytes:
    """A serialised tensorflow.serving.PredictionLog.

    The package of its classes needs a server's libraries, and four nested messages take few lines.
    """
    model_spec = _field(3, signature.encode())
    tensor = tf.make_tensor_proto(batch).SerializeToString()
    named_tensor = _field(1, name.encode()) + _field(2, tensor)
    request = _field(1, model_spec) + _field(2, named_tensor)
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes in the wire format of protocol buffers: its number, its length, its content."""
    length, size = b"", len(content)
    while size > 127:
        length += bytes([size % 128 + 128])
        size //= 128
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
