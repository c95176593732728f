"""Reads `.keras` files of 0.6.0 and earlier, which have some variables in another place.

There, the averages of G and the auxiliary batch normalisation were variables of the model itself, before the statistics
of residuals. Now they belong to networks.
"""

from typing import Any

import keras

from agad_tf.networks.keras_internals import all_layers

VERSION_KEY = "format_version"


def let_read_what_0_6_saved(model: Any) -> None:
    """Makes a new model load its weights as 0.6.0 saved them.

    Args:
        model: an `AGAD`, newly made from the configuration in such a file.
    """
    networks = [network for network in (model.ema_generator, model.pseudo_anomaly_generator) if network is not None]
    if not networks:
        return
    # Keras saves a model's trainable variables first.
    moved = [
        *(variable for variable in model.auxiliary_variables if variable.trainable),
        *(model.ema_generator.variables if model.ema_generator is not None else ()),
    ]
    # The file has nothing for these networks; variables that they share with G are loaded with G.
    shared = {id(layer) for layer in all_layers(model.generator)}
    for network in networks:
        for layer in (network, *all_layers(network)):
            if id(layer) not in shared:
                _skip_once(layer)

    def load_own_variables(store: Any) -> None:
        variables: list[keras.Variable] = [*moved, *model.residual_statistics]
        for place, variable in enumerate(variables):
            variable.assign(store[str(place)])
        del model.load_own_variables

    model.load_own_variables = load_own_variables


def _skip_once(layer: keras.layers.Layer) -> None:
    """Makes a layer skip loading, once."""

    def load_own_variables(store: Any) -> None:
        del layer.load_own_variables

    layer.load_own_variables = load_own_variables
