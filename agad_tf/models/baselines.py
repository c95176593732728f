"""Baselines from well-known libraries, and a supervised classifier that sees all labels.

All except "supervised" learn only from normal training images, as rows of pixels in [0, 1] at their own size.
"""

import math
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from agad_tf.config.errors import UsageError
from agad_tf.data.images_in_files import Images
from agad_tf.data.preprocessing import ImageSize, sides_of
from agad_tf.data.scoring_batches import scoring_batches
from agad_tf.data.sources import Source
from agad_tf.data.splits import ABNORMAL, NORMAL, OneClassTask
from agad_tf.networks.encoder_decoder import encode

Score = Callable[[Images], np.ndarray]

NEIGHBOURS = 5
EXPLAINED_VARIANCE = 0.95
OUTLIER_SHARE = 0.1
CLASSIFIER_EPOCHS = 5
CLASSIFIER_LEAST_STEPS = 200
CLASSIFIER_BATCH_SIZE = 256
CLASSIFIER_LEARNING_RATE = 1e-3


def baseline_scores(
    name: str, source: Source, task: OneClassTask, image_size: ImageSize, width: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a baseline and scores images with it.

    Args:
        name: one of `agad_tf.config.choices.BASELINES`.
        source: the data set; only "supervised" reads the labels of its training set.
        task: the division into normal, abnormal and held-out images.
        image_size: side in pixels that "supervised" resizes images to, a multiple of 16.
        width: scale of the number of its filters, like that of AGAD's networks.
        seed: of all random choices.

    Returns:
        Scores of the validation images and of the test images, float (images,), higher is more abnormal.

    Raises:
        ValueError: an unknown baseline.
        UsageError: the package of the baseline is not installed.
    """
    if name == "supervised":
        score = _supervised(source, task, image_size, width, seed)
    elif name in _DETECTORS:
        score = _of_rows(_DETECTORS[name](_rows(task.train.of_label(NORMAL).images), seed))
    else:
        raise ValueError(f"Unknown baseline '{name}'; choose one of {', '.join([*_DETECTORS, 'supervised'])}.")
    return score(task.validation.images), score(task.test.images)


def require_labels(name: str, source: Source) -> None:
    """Checks that the data set has the labels that a baseline needs.

    Args:
        name: one of `agad_tf.config.choices.BASELINES`.
        source: the data set.

    Raises:
        UsageError: for "supervised", all training images are of one class.
    """
    if name == "supervised" and len(np.unique(source.y_train)) < 2:
        raise UsageError(
            f"--method=supervised learns from normal and abnormal images, but the training part of {source.origin} has "
            "only one class; give --method=agad, or add images of anomalies."
        )


def _rows(images: Images) -> np.ndarray:
    return np.asarray(images).reshape(len(images), -1).astype(np.float32) / 255


def _of_rows(score: Score) -> Score:
    return lambda images: score(_rows(images))


def _knn(normals: np.ndarray, _: int) -> Score:
    """Mean distance to the nearest normal images."""
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(normals))).fit(normals)
    return lambda rows: neighbours.kneighbors(rows)[0].mean(axis=1)


def _pca(normals: np.ndarray, seed: int) -> Score:
    """Distance from the subspace with most of the normal images' variance."""
    pca = PCA(EXPLAINED_VARIANCE, svd_solver="full", random_state=seed).fit(normals)
    return lambda rows: np.linalg.norm(rows - pca.inverse_transform(pca.transform(rows)), axis=1)


def _one_class_svm(normals: np.ndarray, _: int) -> Score:
    machine = OneClassSVM(nu=OUTLIER_SHARE).fit(normals)
    return lambda rows: -machine.decision_function(rows)


def _isolation_forest(normals: np.ndarray, seed: int) -> Score:
    forest = IsolationForest(random_state=seed).fit(normals)
    return lambda rows: -forest.score_samples(rows)


def _deep_svdd(normals: np.ndarray, seed: int) -> Score:
    detector = _pyod("deep_svdd").DeepSVDD(n_features=normals.shape[1], random_state=seed, verbose=0)
    return detector.fit(normals).decision_function


def _auto_encoder(normals: np.ndarray, seed: int) -> Score:
    return _pyod("auto_encoder").AutoEncoder(random_state=seed, verbose=0).fit(normals).decision_function


def _pyod(model: str) -> ModuleType:
    try:
        return import_module(f"pyod.models.{model}")
    except ImportError as error:
        raise UsageError(
            f'--method={model} comes from PyOD, which is not installed; run: pip install "agad_tf[pyod]".'
        ) from error


_DETECTORS: dict[str, Callable[[np.ndarray, int], Score]] = {
    "knn": _knn,
    "pca": _pca,
    "one_class_svm": _one_class_svm,
    "isolation_forest": _isolation_forest,
    "deep_svdd": _deep_svdd,
    "auto_encoder": _auto_encoder,
}


def _supervised(source: Source, task: OneClassTask, image_size: ImageSize, width: float, seed: int) -> Score:
    """A classifier of the naive encoder's size, trained on all labels of the training set except those held out."""
    normal_class = source.y_test[task.test.ids[task.test.labels == NORMAL][0]]
    rows = np.arange(len(source.y_train))
    if source.x_val is None:
        rows = np.setdiff1d(rows, task.validation.ids)
    labels = (source.y_train[rows] != normal_class).astype(np.float32)
    keras.utils.set_random_seed(seed)
    images = keras.Input((*sides_of(image_size), source.channels))
    logits = layers.Dense(1)(layers.Flatten()(layers.LeakyReLU(0.2)(encode(images, width, "batch"))))
    classifier = keras.Model(images, logits)
    classifier.compile(
        keras.optimizers.Adam(CLASSIFIER_LEARNING_RATE), keras.losses.BinaryCrossentropy(from_logits=True)
    )
    inputs = tf.concat(list(scoring_batches(source.x_train[rows], image_size)), axis=0).numpy()
    # Both kinds have the same weight, independent of their numbers.
    weights = {label: len(labels) / (2 * np.sum(labels == label)) for label in (NORMAL, ABNORMAL)}
    # Otherwise, training on small sets would end before the classifier has learned.
    steps = math.ceil(len(labels) / CLASSIFIER_BATCH_SIZE)
    epochs = max(CLASSIFIER_EPOCHS, math.ceil(CLASSIFIER_LEAST_STEPS / steps))
    classifier.fit(inputs, labels, CLASSIFIER_BATCH_SIZE, epochs, class_weight=weights, verbose="auto")
    score = tf.function(lambda batch: classifier(batch, training=False)[:, 0], reduce_retracing=True, autograph=False)
    return lambda images: np.concatenate([score(batch).numpy() for batch in scoring_batches(images, image_size)])
