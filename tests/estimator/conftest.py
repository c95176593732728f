import pytest
import tensorflow as tf


@pytest.fixture
def eager():
    """Steps without tracing, which would take most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
