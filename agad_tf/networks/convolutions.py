"""Convolutions in forms that are fast on processors: the same functions by other operations.

A convolution has three products: images with kernel (forward), upstream gradient with kernel (towards the images), and
images with upstream gradient (towards the kernel). In a transposed convolution, the first two change places. Each is
written here once, in the form that was fastest on a CPU; the measurements are in BUILD_NOTES.md, "Where the time of a
step goes". All are "same"-padded, with square kernels no smaller than the stride, on sides that the stride divides;
everything else is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

# With fewer channels, oneDNN's kernels for the gradient towards them use few of their lanes.
FEW_CHANNELS = 4
# Up to this side, exchanging images and channels is faster in bfloat16.
SMALL_SIDE = 8


@keras.saving.register_keras_serializable("agad_tf")
class Convolution(layers.Conv2D):
    """`Conv2D` with "same" padding, for sides that are multiples of the stride.

    Raises:
        ValueError: for arguments that it does not support: another padding, dilation, groups, a kernel or
            strides that differ between the two directions, a kernel smaller than the stride, channels first, or
            images whose sides are unknown or no multiples of the stride.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        _require_plain(self)
        _require_whole_cells(self, input_shape)
        super().build(input_shape)

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution without its bias."""
        stride = self.strides[0]
        _require_whole_cells(self, inputs.shape)  # sides may differ from call to call
        if self.kernel_size[0] == stride > 1:
            return _patches_times_kernel(inputs, kernel, stride)
        return _convolution(stride, inputs.shape[1:3])(inputs, tf.convert_to_tensor(kernel))


@keras.saving.register_keras_serializable("agad_tf")
class TransposedConvolution(layers.Conv2DTranspose):
    """`Conv2DTranspose` with "same" padding, to sides that are those of the images times the stride.

    Raises:
        ValueError: for arguments that it does not support: another padding, output padding, dilation, groups,
            a kernel or strides that differ between the two directions, a kernel smaller than the stride, channels
            first, or images whose sides are unknown.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        _require_plain(self)
        _require_known_sides(self, input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Transposed convolution, bias and activation."""
        stride = self.strides[0]
        _require_known_sides(self, inputs.shape)
        kernel = tf.convert_to_tensor(self.kernel)
        if self.kernel_size[0] == stride > 1:
            outputs = _kernel_to_patches(inputs, kernel, stride)
        else:
            sides = [side * stride for side in inputs.shape[1:3]]
            outputs = _transposed_convolution(stride, sides)(inputs, kernel)
        if self.use_bias:
            outputs += self.bias
        return outputs if self.activation is None else self.activation(outputs)


def _require_plain(layer: layers.Layer) -> None:
    name, size, strides = type(layer).__name__, layer.kernel_size, layer.strides
    groups = getattr(layer, "groups", 1)
    if layer.padding != "same" or layer.dilation_rate != (1, 1) or groups != 1:
        raise ValueError(
            f"{name} takes only padding='same', without dilation or groups, but was given padding='{layer.padding}', "
            f"dilation_rate={layer.dilation_rate} and groups={groups}; give it padding='same', or use Keras' own layer."
        )
    if layer.data_format != "channels_last":
        raise ValueError(
            f"{name} takes images whose channels come last, but was given data_format='{layer.data_format}'; give it "
            "data_format='channels_last'."
        )
    if strides[0] != strides[1]:
        raise ValueError(
            f"{name} takes the same stride in both directions, but was given strides={strides}; give it one number."
        )
    if size[0] != size[1]:
        raise ValueError(f"{name} takes square kernels, but was given kernel_size={size}; give it one number.")
    if size[0] < strides[0]:
        raise ValueError(
            f"{name} takes kernels no smaller than the stride, but was given kernel_size={size[0]} with "
            f"strides={strides[0]}; give it kernel_size={strides[0]} or more."
        )
    if getattr(layer, "output_padding", None) is not None:
        raise ValueError(
            f"{name} returns images with sides multiplied by the stride, but was given "
            f"output_padding={layer.output_padding}; leave output_padding out."
        )


def _require_known_sides(layer: layers.Layer, shape: Sequence[int | None]) -> None:
    if None in shape[1:3]:
        raise ValueError(
            f"{type(layer).__name__} takes images of known height and width, but was given the shape {tuple(shape)}; "
            "give keras.Input both."
        )


def _require_whole_cells(layer: layers.Layer, shape: Sequence[int | None]) -> None:
    _require_known_sides(layer, shape)
    stride = layer.strides[0]
    if any(side % stride for side in shape[1:3]):
        raise ValueError(
            f"{type(layer).__name__} takes images whose sides are multiples of the stride, but was given "
            f"{shape[1]}×{shape[2]} pixels with strides={stride}; resize or pad them."
        )


def _patches_times_kernel(images: tf.Tensor, kernel: tf.Tensor, side: int) -> tf.Tensor:
    """A convolution whose stride is its kernel size: patches do not overlap, so it is one matrix product."""
    patches = tf.nn.space_to_depth(images, side)
    return tf.tensordot(patches, tf.reshape(kernel, (-1, kernel.shape[3])), 1)


def _kernel_to_patches(images: tf.Tensor, kernel: tf.Tensor, side: int) -> tf.Tensor:
    """The transpose of `_patches_times_kernel`."""
    patches = tf.tensordot(images, tf.transpose(tf.reshape(kernel, (-1, kernel.shape[3]))), 1)
    return tf.nn.depth_to_space(patches, side)


def _convolution(stride: int, sides: Sequence[int]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    @tf.custom_gradient
    def convolution(images: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _towards_images(upstream, kernel, stride, sides), _towards_kernel(images, upstream, kernel, stride)

        return tf.nn.conv2d(images, kernel, stride, "SAME"), gradient

    return convolution


def _transposed_convolution(stride: int, sides: Sequence[int]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    @tf.custom_gradient
    def transposed_convolution(images: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.nn.conv2d(upstream, kernel, stride, "SAME"), _towards_kernel(upstream, images, kernel, stride)

        return _towards_images(images, kernel, stride, sides), gradient

    return transposed_convolution


def _towards_images(upstream: tf.Tensor, kernel: tf.Tensor, stride: int, sides: Sequence[int]) -> tf.Tensor:
    size, _, channels, filters = kernel.shape
    if channels <= FEW_CHANNELS and (size, stride) == (4, 2):
        # Each of the 2×2 pixels of a cell sees 2×2 taps: an ordinary convolution with the cell's pixels as channels.
        taps = tf.reverse(tf.reshape(kernel, (2, 2, 2, 2, channels, filters)), (0, 2))
        taps = tf.reshape(tf.transpose(taps, (0, 2, 5, 1, 3, 4)), (2, 2, filters, 4 * channels))
        cells = tf.nn.conv2d(upstream, taps, 1, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return tf.nn.depth_to_space(cells, 2)[:, 1:-1, 1:-1]
    return tf.nn.conv2d_transpose(upstream, kernel, (tf.shape(upstream)[0], *sides, channels), stride, "SAME")


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
