"""The detector with the interface of scikit-learn."""

from agad_tf.estimator.detector import AGADDetector

__all__ = ["AGADDetector"]
