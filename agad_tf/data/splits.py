"""The one-class protocol: who is normal, which anomalies are labelled, what is held out."""

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
        ids: int64 (images,), position in the training or test set as it was read from its source.
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
    """What one detector is trained, steered and measured on; they share no image.

    Attributes:
        train: normal images and, for γ > 0, labelled anomalies.
        validation: of the same kinds in the same shares; thresholds and epochs may be chosen on it.
        reference: normal images that say what is usual, for scores that need to know; kept from the gradient. None
            where no score does.
        test: the published test set, for figures alone. All normals come first; of a set of normal images alone
            there are no others.
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
    name = source.class_name(normal_class)
    tested = int(np.sum(source.y_test == normal_class))
    if not len(normals) or not tested:
        raise UsageError(
            f"Class {name} of {source.name} has {len(normals)} images for training and {tested} for testing; some are "
            "needed for both. Add them, or choose another --normal_class."
        )
    # A set of normal images alone is welcome. One whose anomalies all lie in the training part was divided by mistake.
    if (source.y_test == normal_class).all() and (source.y_train != normal_class).any():
        raise UsageError(
            f"The test set of {source.name} has class {name} alone: nothing could be measured. "
            "Add images of another class to it, or take them out of the training part as well."
        )
    anomalies = np.empty(0, np.int64)
    if gamma:
        pool = rng.permutation(np.flatnonzero(_is_anomaly_source(source.y_train, normal_class, anomaly_classes)))
        wanted = round(len(normals) * gamma / (1 - gamma))
        if len(pool) < 2:
            raise UsageError(
                f"--gamma={gamma} asks for labelled anomalies, and the training part of {source.name} has {len(pool)}; "
                "two are the least, one of them for validation. Give --gamma=0, or add some."
            )
        if not 2 <= wanted <= len(pool):
            raise UsageError(
                f"--gamma={gamma} asks for {wanted} labelled anomalies beside {len(normals)} normal images, and "
                f"{source.name} has {len(pool)}; two are the least, one of them for validation. "
                f"Choose --gamma from {2 / (len(normals) + 2):.2g} to {len(pool) / (len(normals) + len(pool)):.2g}."
            )
        anomalies = pool[:wanted]
    if source.x_val is not None and source.y_val is not None:
        train = _labelled(source.x_train, normals, anomalies)
        held_normals = np.flatnonzero(source.y_val == normal_class)
        held_pool = np.flatnonzero(_is_anomaly_source(source.y_val, normal_class, anomaly_classes))
        # No more labelled anomalies than γ allows: those of the validation set are known as well.
        held_anomalies = min(len(held_pool), math.ceil(len(held_normals) * gamma / (1 - gamma)))
        if not len(held_normals) or (gamma and not held_anomalies):
            raise UsageError(f"The validation set of {source.name} lacks images of class {name} or of its anomalies.")
        validation = _labelled(source.x_val, held_normals, rng.permutation(held_pool)[:held_anomalies])
    else:
        counts = [held_out_count(len(indices), validation_fraction) for indices in (normals, anomalies)]
        if not counts[0]:
            raise UsageError(f"Class {name} of {source.name} has one training image; two are the least.")
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
    """How many of some images are held out: at least one stays on either side, however small the share.

    Args:
        count: of the images. A single one is learned from.
        share: in (0, 1).
    """
    return min(max(1, round(count * share)), max(count - 1, 0))


def _is_anomaly_source(classes: np.ndarray, normal_class: int, anomaly_classes: tuple[int, ...]) -> np.ndarray:
    return np.isin(classes, anomaly_classes) if anomaly_classes else classes != normal_class


def _labelled(images: Images, normals: np.ndarray, anomalies: np.ndarray) -> Split:
    rows = np.concatenate([normals, anomalies])
    return Split(images[rows], np.repeat([NORMAL, ABNORMAL], [len(normals), len(anomalies)]).astype(np.int32), rows)


def with_reference(task: OneClassTask) -> OneClassTask:
    """Takes every other normal validation image for the reference; the threshold is chosen on those that are left."""
    validation, reference = halved(task.validation)
    return dataclasses.replace(task, validation=validation, reference=reference)


def halved(validation: Split) -> tuple[Split, Split]:
    """Divides validation images: those to choose the threshold on, and the reference, every other normal one."""
    normals = np.flatnonzero(validation.labels == NORMAL)
    is_reference = np.isin(np.arange(len(validation.labels)), normals[1::2])
    return validation.rows(~is_reference), validation.rows(is_reference)
