"""The one-class protocol: the normal class, the labelled anomalies, and the images that are held out."""

import dataclasses
import math

import numpy as np

from agad_tf.config.errors import UsageError
from agad_tf.data.images_in_files import Images
from agad_tf.data.sources import Source

NORMAL, ABNORMAL = 0, 1


@dataclasses.dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        images: uint8 (images, height, width, channels), in memory or in files.
        labels: int32 (images,): 0 normal, 1 abnormal.
        ids: int64 (images,), position in the training or test set of the source.
    """

    images: Images
    labels: np.ndarray
    ids: np.ndarray

    def of_label(self, label: int) -> "Split":
        """The normal images, or the abnormal ones."""
        return self.rows(self.labels == label)

    def rows(self, chosen: np.ndarray) -> "Split":
        """Some of the images, by bool or int (n,)."""
        return Split(self.images[chosen], self.labels[chosen], self.ids[chosen])


@dataclasses.dataclass(frozen=True)
class OneClassTask:
    """The disjoint sets of images for training, validation and test of one detector.

    Attributes:
        train: normal images and, for γ > 0, labelled anomalies.
        validation: of the same kinds in the same shares; used to choose thresholds and epochs.
        reference: normal images that are not trained on, for scores that need statistics of normal images; None for
            other scores.
        test: the test set, used only for figures. Normal images come first; there may be no others.
    """

    train: Split
    validation: Split
    test: Split
    reference: Split | None = None

    @property
    def has_test_anomalies(self) -> bool:
        """Whether the test set has anomalies; without any, no AUROC can be measured."""
        return bool(self.test.labels.any())


def one_class_task(
    source: Source,
    normal_class: int,
    gamma: float = 0.0,
    anomaly_classes: tuple[int, ...] = (),
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> OneClassTask:
    """Makes one class normal and all others anomalies.

    Args:
        source: a labelled set of images.
        normal_class: the class that is normal.
        gamma: γ = a / (n + a), the share of the a labelled anomalies beside the n normal training images, in [0, 1).
        anomaly_classes: classes that labelled anomalies are drawn from; empty means all but the normal one. The test
            set always holds all classes.
        validation_fraction: share of the training images, of both labels, that is held out, in (0, 1).
        seed: for the choice of labelled anomalies and held-out images.

    Returns:
        The task.

    Raises:
        UsageError: a class without images, or too few images for γ or the validation share.
    """
    rng = np.random.default_rng(seed)
    normals = rng.permutation(np.flatnonzero(source.y_train == normal_class))
    name = source.class_name(normal_class)
    tested = int(np.sum(source.y_test == normal_class))
    if not len(normals) or not tested:
        raise UsageError(
            f"Class {name} of {source.name} has {len(normals)} images for training and {tested} for testing, but needs "
            "some for both. Add images, or choose another --normal_class."
        )
    # A set of only normal images is accepted. If all anomalies are in the training part, the set was divided by
    # mistake.
    if (source.y_test == normal_class).all() and (source.y_train != normal_class).any():
        raise UsageError(
            f"The test set of {source.name} has only class {name}, so nothing can be measured. Add images of another "
            "class to it, or remove them from the training part as well."
        )
    anomalies = np.empty(0, np.int64)
    if gamma:
        pool = rng.permutation(np.flatnonzero(_is_anomaly_source(source.y_train, normal_class, anomaly_classes)))
        wanted = round(len(normals) * gamma / (1 - gamma))
        if len(pool) < 2:
            raise UsageError(
                f"--gamma={gamma} needs at least two labelled anomalies, one of them for validation, but the training "
                f"part of {source.name} has {len(pool)}. Give --gamma=0, or add some."
            )
        if not 2 <= wanted <= len(pool):
            raise UsageError(
                f"--gamma={gamma} asks for {wanted} labelled anomalies beside {len(normals)} normal images, but "
                f"{source.name} has {len(pool)}; at least two are needed, one of them for validation. Choose --gamma "
                f"from {2 / (len(normals) + 2):.2g} to {len(pool) / (len(normals) + len(pool)):.2g}."
            )
        anomalies = pool[:wanted]
    if source.x_val is not None and source.y_val is not None:
        train = _labelled(source.x_train, normals, anomalies)
        held_normals = np.flatnonzero(source.y_val == normal_class)
        held_pool = np.flatnonzero(_is_anomaly_source(source.y_val, normal_class, anomaly_classes))
        # No more labelled anomalies than γ allows, because those of the validation set are known too.
        held_anomalies = min(len(held_pool), math.ceil(len(held_normals) * gamma / (1 - gamma)))
        if not len(held_normals) or (gamma and not held_anomalies):
            raise UsageError(f"The validation set of {source.name} lacks images of class {name} or of its anomalies.")
        validation = _labelled(source.x_val, held_normals, rng.permutation(held_pool)[:held_anomalies])
    else:
        counts = [held_out_count(len(indices), validation_fraction) for indices in (normals, anomalies)]
        if not counts[0]:
            raise UsageError(f"Class {name} of {source.name} has one training image, but needs at least two.")
        train = _labelled(source.x_train, normals[counts[0] :], anomalies[counts[1] :])
        validation = _labelled(source.x_train, normals[: counts[0]], anomalies[: counts[1]])
    test_labels = (source.y_test != normal_class).astype(np.int32)
    order = np.argsort(test_labels, kind="stable")
    return OneClassTask(
        train=train,
        validation=validation,
        test=Split(source.x_test[order], test_labels[order], order),
    )


def held_out_count(count: int, share: float) -> int:
    """Number of images to hold out; at least one is held out, and at least one is not.

    Args:
        count: of the images. A single image is not held out.
        share: in (0, 1).
    """
    return min(max(1, round(count * share)), max(count - 1, 0))


def _is_anomaly_source(classes: np.ndarray, normal_class: int, anomaly_classes: tuple[int, ...]) -> np.ndarray:
    return np.isin(classes, anomaly_classes) if anomaly_classes else classes != normal_class


def _labelled(images: Images, normals: np.ndarray, anomalies: np.ndarray) -> Split:
    rows = np.concatenate([normals, anomalies])
    return Split(images[rows], np.repeat([NORMAL, ABNORMAL], [len(normals), len(anomalies)]).astype(np.int32), rows)


def with_reference(task: OneClassTask) -> OneClassTask:
    """Moves every other normal validation image to the reference; the threshold is chosen on the others."""
    validation, reference = halved(task.validation)
    return dataclasses.replace(task, validation=validation, reference=reference)


def halved(validation: Split) -> tuple[Split, Split]:
    """Divides validation images into those that choose the threshold, and the reference: every other normal image."""
    normals = np.flatnonzero(validation.labels == NORMAL)
    is_reference = np.isin(np.arange(len(validation.labels)), normals[1::2])
    return validation.rows(~is_reference), validation.rows(is_reference)
