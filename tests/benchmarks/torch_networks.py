"""The package's networks in PyTorch: the same filters, convolutions and normalisation, batch normalisation throughout.

A node of our UNets gives what was normalised, and all that read it begin with a ReLU. Here the ReLU stands once, at the
node's end and in place: the same function with fewer passes over the images.
"""

from itertools import pairwise

import torch
from torch import nn

UNET_FILTERS = (32, 64, 128, 256, 512)


def scaled(filters, width):
    return max(1, round(filters * width))


def normalized(layer, activation):
    """A layer of the same momentum and ε as ours, normalised and activated."""
    return layer, nn.BatchNorm2d(layer.out_channels), activation


def block(inputs, outputs, stride=1):
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(*normalized(convolution, nn.ReLU(inplace=True)))


def encoder_decoder(image_size, channels, width):
    filters, side = [], image_size
    while side >= 8 and side % 2 == 0:
        filters.append(scaled(min(64 * 2 ** len(filters), 512), width))
        side //= 2
    leaky, relu, code = nn.LeakyReLU(0.2, inplace=True), nn.ReLU(inplace=True), scaled(100, width)
    layers = [nn.Conv2d(channels, filters[0], 4, 2, 1, bias=False), leaky]
    for before, after in pairwise(filters):
        layers += normalized(nn.Conv2d(before, after, 4, 2, 1, bias=False), leaky)
    layers.append(nn.Conv2d(filters[-1], code, side, bias=False))
    layers += normalized(nn.ConvTranspose2d(code, filters[-1], side, bias=False), relu)
    for before, after in pairwise(reversed(filters)):
        layers += normalized(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), relu)
    layers += [nn.ConvTranspose2d(filters[0], channels, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


class UpNode(nn.Module):
    """The level below, doubled in side and joined with the skips of its own level."""

    def __init__(self, below, skips, filters):
        super().__init__()
        transposed = nn.ConvTranspose2d(below, filters, 2, 2, bias=False)
        self.up = nn.Sequential(*normalized(transposed, nn.ReLU(inplace=True)))
        self.blocks = nn.Sequential(block((skips + 1) * filters, filters), block(filters, filters))

    def forward(self, below, skips):
        return self.blocks(torch.cat([*skips, self.up(below)], 1))


class UNet(nn.Module):
    """UNet++, or without `dense` UNet, whose nodes are those of UNet++ that take the longest way.

    Of a 3×3 convolution of stride 2, TensorFlow pads the images below and on the right alone, and PyTorch above and on
    the left. On images turned by 180° each does what the other does, so that they are turned on their way in and out,
    and kernels where they are loaded. Padding by hand would copy all images.
    """

    def __init__(self, channels, width, dense):
        super().__init__()
        filters = [scaled(count, width) for count in UNET_FILTERS]
        self.down = nn.ModuleList(
            nn.Sequential(block(before, after, 2 if level else 1), block(after, after))
            for level, (before, after) in enumerate(pairwise([channels, *filters]))
        )
        deepest = len(filters) - 1
        columns = range(1, deepest + 1)
        self.levels = [n for column in columns for n in range(deepest - column + 1) if dense or n == deepest - column]
        skips = [self.levels[: number + 1].count(level) for number, level in enumerate(self.levels)]
        self.up = nn.ModuleList(
            UpNode(filters[level + 1], count, filters[level]) for level, count in zip(self.levels, skips, strict=True)
        )
        self.head = nn.Sequential(nn.Conv2d(filters[0], channels, 1, bias=False), nn.Tanh())

    def forward(self, images):
        x, nodes = images.flip(2, 3), []
        for down in self.down:
            x = down(x)
            nodes.append([x])
        for level, up in zip(self.levels, self.up, strict=True):
            nodes[level].append(up(nodes[level + 1][-1], nodes[level]))
        return self.head(nodes[0][-1]).flip(2, 3)


GENERATORS = {
    "encoder_decoder": encoder_decoder,
    "unet": lambda _, channels, width: UNet(channels, width, dense=False),
    "unet_plus_plus": lambda _, channels, width: UNet(channels, width, dense=True),
}


class Discriminator(nn.Module):
    """Logits and latent embedding."""

    def __init__(self, channels, width):
        super().__init__()
        first, last = scaled(64, width), scaled(128, width)
        leaky = nn.LeakyReLU(0.2, inplace=True)
        self.features = nn.Sequential(
            *normalized(nn.Conv2d(channels, first, 4, 2, 1, bias=False), leaky),
            *normalized(nn.Conv2d(first, last, 4, 2, 1, bias=False), leaky),
        )
        self.classifier = nn.Conv2d(last, 1, 4, padding="same")

    def forward(self, images):
        latent = self.features(images)
        return self.classifier(latent), latent
