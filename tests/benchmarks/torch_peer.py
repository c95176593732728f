"""The same training step in PyTorch, written as well as PyTorch allows: the peer that ours is measured against.

PyTorch is needed here alone: `pip install torch`.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.torch_networks import GENERATORS, Discriminator, UNet

WEIGHTS = {"adversarial": 1.0, "contextual": 50.0, "contextual_adversarial": 15.0, "latent": 5.0, "epsilon": 1e-2}
# Of layers with weights, and how the package calls them.
KINDS = {
    nn.Conv2d: "Convolution",
    nn.ConvTranspose2d: "TransposedConvolution",
    nn.BatchNorm2d: "BatchNormalization",
}


class TorchPeer:
    """Generator, discriminator and both Adams; `train_step` is Algorithm 1."""

    def __init__(self, generator="encoder_decoder", image_size=32, channels=1, width=1.0, bfloat16=False):
        networks = GENERATORS[generator](image_size, channels, width), Discriminator(channels, width)
        self.generator, self.discriminator = (network.to(memory_format=torch.channels_last) for network in networks)
        self.weights = [list(network.parameters()) for network in (self.generator, self.discriminator)]
        self.optimizers = [
            torch.optim.Adam(weights, 2e-4, (0.5, 0.999), eps=1e-7, fused=True) for weights in self.weights
        ]
        self.moving = [layer for layer in self.generator.modules() if isinstance(layer, nn.BatchNorm2d)]
        self.precision = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)

    def load(self, model):
        """Takes over the weights of an `agad_tf.AGAD`."""
        for ours, theirs in ((self.generator, model.generator), (self.discriminator, model.discriminator)):
            for kind, keras_kind in KINDS.items():
                modules = [module for module in ours.modules() if isinstance(module, kind)]
                layers = [layer for layer in theirs.layers if type(layer).__name__ == keras_kind]
                if theirs is model.generator:
                    # Keras sorts layers by depth, and counts up their names in the order of making, which is ours.
                    layers.sort(key=lambda layer: (len(layer.name), layer.name))
                for module, layer in zip(modules, layers, strict=True):
                    _copy(layer, module, turned=isinstance(ours, UNet))

    def train_step(self, images, labels):
        """Both updates from one forward pass; gives the two losses."""
        with self.precision:
            fake = self.generator(images)
            # Pseudo-anomalies use the statistics of their batch, and leave the moving ones as they are.
            self._set_momentum(0.0)
            fake_again = self.generator(fake)
            self._set_momentum(0.1)
            logits, latent = self.discriminator(images)
            fake_logits, fake_latent = self.discriminator(fake)
        generator_loss, discriminator_loss = self._losses(
            images, labels, *(t.float() for t in (fake, fake_again, logits, latent, fake_logits, fake_latent))
        )
        gradients = (
            torch.autograd.grad(generator_loss, self.weights[0], retain_graph=True),
            torch.autograd.grad(discriminator_loss, self.weights[1]),
        )
        for optimizer, weights, grads in zip(self.optimizers, self.weights, gradients, strict=True):
            for weight, grad in zip(weights, grads, strict=True):
                weight.grad = grad
            optimizer.step()
        return generator_loss.item(), discriminator_loss.item()

    @torch.inference_mode()
    def score(self, images):
        """‖x − G(x)‖₂ of each image by the moving statistics."""
        self.generator.eval()
        with self.precision:
            fake = self.generator(images)
        self.generator.train()
        return (images - fake.float()).flatten(1).norm(dim=1)

    def _set_momentum(self, momentum):
        for layer in self.moving:
            layer.momentum = momentum

    @staticmethod
    def _losses(images, labels, fake, fake_again, logits, latent, fake_logits, fake_latent):
        def mean(values):
            return values.flatten(1).mean(1)

        def cross_entropy(values, target):
            return mean(functional.softplus(-values if target else values))

        contextual, distance = mean((images - fake).abs()), mean((fake - fake_again).abs())
        latent_loss = mean((latent - fake_latent) ** 2).clamp_min(1e-12).sqrt()
        fake_as_fake = cross_entropy(fake_logits, 0)
        normality = (
            WEIGHTS["adversarial"] * cross_entropy(fake_logits, 1)
            + WEIGHTS["contextual"] * contextual
            - WEIGHTS["contextual_adversarial"] * distance
            + WEIGHTS["latent"] * latent_loss
        )
        anomaly = (
            WEIGHTS["adversarial"] / (fake_as_fake + WEIGHTS["epsilon"])
            + WEIGHTS["contextual_adversarial"] / (contextual + WEIGHTS["epsilon"])
            + WEIGHTS["latent"] * latent_loss
        )
        discriminator = labels * cross_entropy(logits, 0) + (1 - labels) * (fake_as_fake + cross_entropy(logits, 1))
        return (labels * anomaly + (1 - labels) * normality).mean(), discriminator.mean()


def _copy(layer, module, turned):
    """The weights of a Keras layer, its kernel turned by 180° on request."""
    values = [torch.from_numpy(np.array(value)) for value in layer.get_weights()]
    if isinstance(module, nn.BatchNorm2d):
        targets = [module.weight, module.bias, module.running_mean, module.running_var]
    else:
        kernel = values[0].flip(0, 1) if turned else values[0]
        values[0] = kernel.permute(3, 2, 0, 1)
        targets = [module.weight, *([] if module.bias is None else [module.bias])]
    for target, value in zip(targets, values, strict=True):
        target.data.copy_(value)
