"""The detector by the conventions of scikit-learn."""

from agad_tf.estimator.detector import AGADDetector

__all__ = ["AGADDetector"]
