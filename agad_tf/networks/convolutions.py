"""Convolutions stated so that processors carry them out fast: the same functions, other operations.

A convolution knows three products: of images and kernel (forward), of upstream gradient and kernel (towards the
images), and of images and upstream gradient (towards the kernel). A transposed convolution has the same three, with
forward and towards-the-images in each other's place. Each is stated here once, in the form that was measured to be
fastest on a CPU; the measurements are in BUILD_NOTES.md, "Where the time of a step goes". All are "same"-padded, on
sides that the stride divides.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers

# Below, oneDNN's kernels for the gradient towards few channels leave most of their lanes empty.
FEW_CHANNELS = 4
# Up to this side, images that trade places with channels are the faster product in bfloat16.
SMALL_SIDE = 8


@keras.saving.register_keras_serializable("agad_tf")
class Convolution(layers.Conv2D):
    """`Conv2D` with "same" padding, for sides that are multiples of the stride.

    Raises:
        ValueError: on building it with another padding, dilation or groups.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        _require_plain(self)
        super().build(input_shape)

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution without its bias."""
        stride = self.strides[0]
        if self.kernel_size[0] == stride > 1:
            return _patches_times_kernel(inputs, kernel, stride)
        return _convolution(stride, inputs.shape[1])(inputs, tf.convert_to_tensor(kernel))


@keras.saving.register_keras_serializable("agad_tf")
class TransposedConvolution(layers.Conv2DTranspose):
    """`Conv2DTranspose` with "same" padding.

    Raises:
        ValueError: on building it with another padding, dilation or groups.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        _require_plain(self)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Transposed convolution and bias."""
        stride = self.strides[0]
        kernel = tf.convert_to_tensor(self.kernel)
        if self.kernel_size[0] == stride > 1:
            outputs = _kernel_to_patches(inputs, kernel, stride)
        else:
            outputs = _transposed_convolution(stride, inputs.shape[1] * stride)(inputs, kernel)
        return outputs + self.bias if self.use_bias else outputs


def _require_plain(layer: layers.Layer) -> None:
    if layer.padding != "same" or layer.dilation_rate != (1, 1) or getattr(layer, "groups", 1) != 1:
        raise ValueError(f"{type(layer).__name__} takes padding='same' alone, without dilation or groups.")


def _patches_times_kernel(images: tf.Tensor, kernel: tf.Tensor, side: int) -> tf.Tensor:
    """A convolution whose stride is its size: patches do not overlap, and one matrix product does it."""
    patches = tf.nn.space_to_depth(images, side)
    return tf.tensordot(patches, tf.reshape(kernel, (-1, kernel.shape[3])), 1)


def _kernel_to_patches(images: tf.Tensor, kernel: tf.Tensor, side: int) -> tf.Tensor:
    """The transpose of `_patches_times_kernel`."""
    patches = tf.tensordot(images, tf.transpose(tf.reshape(kernel, (-1, kernel.shape[3]))), 1)
    return tf.nn.depth_to_space(patches, side)


def _convolution(stride: int, side: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    @tf.custom_gradient
    def convolution(images: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _towards_images(upstream, kernel, stride, side), _towards_kernel(images, upstream, kernel, stride)

        return tf.nn.conv2d(images, kernel, stride, "SAME"), gradient

    return convolution


def _transposed_convolution(stride: int, side: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    @tf.custom_gradient
    def transposed_convolution(images: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.nn.conv2d(upstream, kernel, stride, "SAME"), _towards_kernel(upstream, images, kernel, stride)

        return _towards_images(images, kernel, stride, side), gradient

    return transposed_convolution


def _towards_images(upstream: tf.Tensor, kernel: tf.Tensor, stride: int, side: int) -> tf.Tensor:
    size, _, channels, filters = kernel.shape
    if channels <= FEW_CHANNELS and (size, stride) == (4, 2):
        # Each of the 2×2 pixels of a cell sees 2×2 taps: an ordinary convolution with the cell's pixels as channels.
        taps = tf.reverse(tf.reshape(kernel, (2, 2, 2, 2, channels, filters)), (0, 2))
        taps = tf.reshape(tf.transpose(taps, (0, 2, 5, 1, 3, 4)), (2, 2, filters, 4 * channels))
        cells = tf.nn.conv2d(upstream, taps, 1, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return tf.nn.depth_to_space(cells, 2)[:, 1:-1, 1:-1]
    return tf.nn.conv2d_transpose(upstream, kernel, (tf.shape(upstream)[0], side, side, channels), stride, "SAME")


def _towards_kernel(images: tf.Tensor, upstream: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    size = kernel.shape[0]
    if images.dtype == tf.bfloat16 and upstream.shape[1] <= SMALL_SIDE:
        before, after = (size - stride) // 2, (size - stride + 1) // 2
        padded = tf.pad(images, ((0, 0), (before, after), (before, after), (0, 0)))
        product = tf.nn.conv2d(
            tf.transpose(padded, (3, 1, 2, 0)), tf.transpose(upstream, (1, 2, 0, 3)), 1, "VALID", dilations=stride
        )
        return tf.transpose(product, (1, 2, 0, 3))
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=upstream,
        strides=(1, stride, stride, 1),
        padding="SAME",
    )
