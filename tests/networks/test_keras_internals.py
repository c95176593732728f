"""Private names of Keras: each one is there in the Keras that is installed, and no other is used."""

import ast
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from agad_tf.networks import keras_internals
from agad_tf.networks.keras_internals import PRIVATE_NAMES, all_layers, own_strategy, schedule_of

PACKAGE = Path(keras_internals.__file__).parents[1]


def small_model():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="inner")])
    images = keras.Input((4,))
    return keras.Model(images, keras.layers.Dense(1, name="outer")(inner(images)))


def test_layers_are_found_at_any_depth():
    assert {"inner", "outer"} <= {layer.name for layer in all_layers(small_model())}


def test_the_strategy_of_a_model_is_found():
    assert own_strategy(small_model()) is None
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        assert own_strategy(small_model()) is strategy


@pytest.mark.parametrize("rate", [0.5, keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)])
def test_the_schedule_of_an_optimizer_is_found(rate):
    assert schedule_of(keras.optimizers.SGD(rate)) is (None if rate == 0.5 else rate)


def test_keras_still_calls_what_is_overridden():
    called = []

    class Watched(keras.Model):
        def _maybe_symbolic_build(self, *args, **kwargs):
            called.append(True)

        def call(self, inputs):
            return inputs

        def train_step(self, data):
            return {"loss": tf.constant(0.0)}

    model = Watched()
    model.compile()
    model.fit(tf.zeros((2, 4)), verbose=0)
    assert called


def private_names_of_others(path):
    """Private attributes that a file reads from anything but `self` and `cls`, and does not define itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            # Of named tuples these are public, and so is `os._exit`.
            public = node.attr in ("_asdict", "_fields", "_replace") or ast.unparse(node) == "os._exit"
            if not of_self and node.attr not in own and not public:
                yield node.attr


def test_private_names_are_used_in_one_file_alone():
    used = {path: set(private_names_of_others(path)) for path in sorted(PACKAGE.rglob("*.py"))}
    assert used.pop(Path(keras_internals.__file__)) <= set(PRIVATE_NAMES)
    assert {path.name: names for path, names in used.items() if names} == {}
