"""The models: Algorithm 1, its losses and scores, and the methods that it is compared with."""

# Before any module of this room, so that its classes are registered when Keras is imported.
import keras  # noqa: F401
