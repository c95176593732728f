"""What is trained: Algorithm 1, its losses and scores, and what it is compared with."""

# Before any module of this room: when Keras is imported, the classes here are registered with it.
import keras  # noqa: F401
