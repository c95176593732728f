"""The one-class protocol: who is normal, which anomalies are labelled, what is held out."""

import dataclasses

import numpy as np

from agad_tf.config import UsageError
from agad_tf.data.sources import Source

NORMAL, ABNORMAL = 0, 1


@dataclasses.dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        images: uint8 (images, height, width, channels).
        labels: int32 (images,): 0 normal, 1 abnormal.
        ids: int64 (images,), position in the training or test set as it was read from its source.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def of_label(self, label: int) -> "Split":
        """The normal images, or the abnormal ones."""
        chosen = self.labels == label
        return Split(self.images[chosen], self.labels[chosen], self.ids[chosen])


@dataclasses.dataclass(frozen=True)
class OneClassTask:
    """What one detector is trained, steered and measured on; the three share no image.

    Attributes:
        train: normal images and, for γ > 0, labelled anomalies.
        validation: of the same kinds in the same shares; thresholds and epochs may be chosen on it.
        test: the published test set, for figures alone. All normals come first.
    """

    train: Split
    validation: Split
    test: Split


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
        anomaly_classes: classes that labelled anomalies are drawn from; empty means all but the normal one.
            The test set holds all classes in either case.
        validation_fraction: share of the training images, of both labels, that is held out, in (0, 1).
        seed: of what is drawn and what is held out.

    Returns:
        The task.

    Raises:
        UsageError: a class without images, or too few images for γ or the validation share.
    """
    rng = np.random.default_rng(seed)
    normals = rng.permutation(np.flatnonzero(source.y_train == normal_class))
    if not len(normals) or not (source.y_test == normal_class).any():
        raise UsageError(f"Class {normal_class} of {source.name} has no images; choose another --normal_class.")
    if (source.y_test == normal_class).all():
        raise UsageError(f"The test set of {source.name} has class {normal_class} alone: nothing could be measured.")
    if gamma:
        pool = rng.permutation(np.flatnonzero(_is_anomaly_source(source.y_train, normal_class, anomaly_classes)))
        wanted = round(len(normals) * gamma / (1 - gamma))
        if not 2 <= wanted <= len(pool):
            raise UsageError(
                f"--gamma={gamma} asks for {wanted} labelled anomalies beside {len(normals)} normal images, and "
                f"{source.name} has {len(pool)}; at least 2 are needed, one of them for validation. "
                f"Choose --gamma from {2 / (len(normals) + 2):.2g} to {len(pool) / (len(normals) + len(pool)):.2g}."
            )
        anomalies = pool[:wanted]
    else:
        anomalies = np.empty(0, np.int64)

    training, held_out = [], []
    for indices, label in ((normals, NORMAL), (anomalies, ABNORMAL)):
        if not len(indices):
            continue
        # At least one image on either side, however small the share.
        count = min(max(1, round(len(indices) * validation_fraction)), len(indices) - 1)
        if not count:
            raise UsageError(f"Class {normal_class} of {source.name} has one training image; two are the least.")
        held_out.append(_take(source.x_train, indices[:count], label))
        training.append(_take(source.x_train, indices[count:], label))
    test_labels = (source.y_test != normal_class).astype(np.int32)
    order = np.argsort(test_labels, kind="stable")
    return OneClassTask(
        train=_joined(training),
        validation=_joined(held_out),
        test=Split(source.x_test[order], test_labels[order], order),
    )


def _is_anomaly_source(classes: np.ndarray, normal_class: int, anomaly_classes: tuple[int, ...]) -> np.ndarray:
    return np.isin(classes, anomaly_classes) if anomaly_classes else classes != normal_class


def _take(images: np.ndarray, indices: np.ndarray, label: int) -> Split:
    return Split(images[indices], np.full(len(indices), label, np.int32), indices)


def _joined(splits: list[Split]) -> Split:
    return Split(*(np.concatenate(parts) for parts in zip(*((s.images, s.labels, s.ids) for s in splits), strict=True)))
