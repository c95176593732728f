"""The detector with the interface of scikit-learn's outlier detectors."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.metrics import roc_auc_score
from sklearn.utils import ClassifierTags, Tags, check_random_state
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from agad_tf.config.choices import PEAK
from agad_tf.config.errors import RunError
from agad_tf.config.recipes import OWN_IMAGES, PAPER
from agad_tf.estimator.detector_files import read_detector, unpickled, write_detector
from agad_tf.estimator.experiment import config_of, in_own_words, value_of
from agad_tf.estimator.fitting import fitted_model
from agad_tf.estimator.input_arrays import (
    as_bytes,
    divide,
    is_abnormal,
    shape_of_image,
    smallest_square,
    value_range_of,
    warn_of_another_range,
)
from agad_tf.estimator.random_state import random_state_kept
from agad_tf.evaluation.scorer import Scorer
from agad_tf.evaluation.thresholds import Decision, decide
from agad_tf.models.agad import AGAD


class AGADDetector(OutlierMixin, BaseEstimator):
    """AGAD with the interface of scikit-learn's outlier detectors.

    `X` is images (n, height, width) or (n, height, width, channels) with 1 or 3 channels, or rows (n, features) as
    pipelines pass them. Rows become images of `image_shape`, or by default the smallest grey square that holds them;
    empty pixels are filled with the lowest value. Images are resized to `image_size`.

    A share of the training images, `validation_fraction` of each label, is held out for the threshold and the
    probability. With the recipe "own_images", half of the held-out normal images are used for the statistics of the
    score instead. With fewer than 10 normal images, none is held out, and everything is chosen on the training images.

    Args:
        recipe: values of all arguments that are None: "own_images", which learns from normal images to find small
            flaws, or "paper", the defaults of `agad_tf.ExperimentConfig`.
        residual_norm: the score, as the option `score` of `agad_tf.ExperimentConfig`; an estimator's own `score` is a
            method.
        image_shape: (height, width) or (height, width, channels) of the images; None takes it from `X`.
        value_range: the lowest and the highest value of pixels, in `fit` and in all later calls. "auto": (0, 255) for
            uint8, otherwise the minimum and maximum of the training data. Values beyond it are not clipped.
        random_state: seed for weights, held-out images and order: None, an int or a RandomState. On a CPU, the same int
            gives bit-identical scores. None draws a seed from NumPy's random state; otherwise the random states of
            NumPy and Python do not change. TensorFlow's global seed is set.
        verbose: as in Keras' `fit`: 0 is silent, 1 shows a bar, 2 prints a line for each epoch.

    All other arguments are options of `agad_tf.ExperimentConfig` with the same names, meanings and values, which `fit`
    checks; None means the recipe's value. `threshold` may also be a number. If there are fewer training images than
    `batch_size`, they form one batch, and `min_anomalies` is lowered in proportion.

    Attributes:
        model_: the Keras model, `agad_tf.AGAD`.
        decision_: the `Decision`: threshold and probability of scores.
        threshold_: anomaly score at or above which an image is flagged.
        offset_: -threshold_, with the last bit changed so that `decision_function` is negative at the threshold itself.
        image_shape_: (height, width, channels) of the images.
        value_range_: lowest and highest pixel value.
        n_features_in_: number of values in an image or row.

    Example:
        >>> import numpy as np
        >>> from agad_tf import AGADDetector
        >>> images = np.random.default_rng(0).integers(0, 256, (24, 32, 32), np.uint8)
        >>> detector = AGADDetector(recipe="paper", epochs=1, width=1 / 8, random_state=0).fit(images)
        >>> detector.predict(images).shape  # 1 normal, -1 abnormal
        (24,)

    `GridSearchCV` maximises `score`, the AUROC with either kind of labels. The scorer "roc_auc" takes
    `decision_function` as the score of the greater label. This is right for +1 (normal) and -1 (abnormal), but inverted
    for 0 and 1.
    """

    def __init__(
        self,
        *,
        recipe: str = OWN_IMAGES,
        generator: str | None = None,
        width: float | None = None,
        image_size: int | str | None = None,
        crop_size: int | None = None,
        scales: tuple[int, ...] | None = None,
        normalization: str | None = None,
        anomaly_normalization: str | None = None,
        pseudo_anomaly_normalization: str | None = None,
        contextual_adversarial: bool | None = None,
        synthetic_anomalies: tuple[str, ...] | None = None,
        synthetic_share: float | None = None,
        local_anomalies: float | None = None,
        segmentation: bool | None = None,
        light_variation: float | None = None,
        aligned: str | None = None,
        horizontal_flip: bool | None = None,
        anomaly_distance: str | None = None,
        lambda_adv: float | None = None,
        lambda_con: float | None = None,
        lambda_adcon: float | None = None,
        lambda_lat: float | None = None,
        reinit_threshold: float | None = None,
        residual_norm: str | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        min_anomalies: int | None = None,
        learning_rate: float | None = None,
        learning_rate_schedule: str | None = None,
        ema_momentum: float | None = None,
        mixed_precision: str | None = None,
        validation_fraction: float | None = None,
        threshold: str | float | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: str | tuple[float, float] = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.recipe = recipe
        self.generator = generator
        self.width = width
        self.image_size = image_size
        self.crop_size = crop_size
        self.scales = scales
        self.normalization = normalization
        self.anomaly_normalization = anomaly_normalization
        self.pseudo_anomaly_normalization = pseudo_anomaly_normalization
        self.contextual_adversarial = contextual_adversarial
        self.synthetic_anomalies = synthetic_anomalies
        self.synthetic_share = synthetic_share
        self.local_anomalies = local_anomalies
        self.segmentation = segmentation
        self.light_variation = light_variation
        self.aligned = aligned
        self.horizontal_flip = horizontal_flip
        self.anomaly_distance = anomaly_distance
        self.lambda_adv = lambda_adv
        self.lambda_con = lambda_con
        self.lambda_adcon = lambda_adcon
        self.lambda_lat = lambda_lat
        self.reinit_threshold = reinit_threshold
        self.residual_norm = residual_norm
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.min_anomalies = min_anomalies
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.ema_momentum = ema_momentum
        self.mixed_precision = mixed_precision
        self.validation_fraction = validation_fraction
        self.threshold = threshold
        self.image_shape = image_shape
        self.value_range = value_range
        self.random_state = random_state
        self.verbose = verbose

    @in_own_words()
    def fit(self, X: Any, y: Any = None) -> "AGADDetector":  # noqa: N803
        """Trains the networks and chooses threshold and probability.

        Args:
            X: at least two images or rows, real numbers.
            y: (n,) labels: 0 normal and 1 abnormal, or 1 normal and -1 abnormal. None: all are normal.

        Returns:
            The detector itself.

        Raises:
            ValueError: `X`, `y` or a parameter is invalid; the message says which.
            RunError: the losses have diverged.
        """
        images = self._images(X, fitting=True)
        labels = np.zeros(len(images), np.int32) if y is None else is_abnormal(y)
        check_consistent_length(images, labels)
        if labels.all():
            raise ValueError("y has no normal images to learn from; label them 0 (abnormal: 1) or +1 (abnormal: -1).")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        config = config_of(self.get_params(deep=False), gamma=float(labels.mean()), seed=seed)
        train, validation, reference = divide(images, labels, config.validation_fraction, seed, config.score == PEAK)
        model = fitted_model(config, train, reference, self.verbose)
        self._take(model)
        scores = self._scorer.per_image(validation.images)
        if not np.isfinite(scores).all():
            raise RunError("The scores are not finite: the losses have diverged. Fit with a lower learning_rate.")
        self.decision_ = decide(validation.labels, scores, config.threshold)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:  # noqa: N803
        """`fit` with the labels, then `predict` of the same images."""
        return self.fit(X, y).predict(X)

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """The anomaly score with the opposite sign.

        Args:
            X: images or rows of the shape that the detector was fitted on.

        Returns:
            float64 (n,), -A(x): higher is more normal.

        Raises:
            NotFittedError: `fit` has not been called.
            ValueError: `X` is invalid.
        """
        check_is_fitted(self, "decision_")
        return -self._scorer.per_image(self._images(X, fitting=False)).astype(np.float64)

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """`score_samples` minus `offset_`, float64 (n,): outliers are negative."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Labels by the threshold, int (n,): 1 normal, -1 abnormal."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities, float64 (n, 2) in [0, 1]: normal, abnormal; see `decision_.probability_source`."""
        abnormal = -self.score_samples(X)
        probability = self.decision_.probability(abnormal)
        return np.column_stack([1 - probability, probability])

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """AUROC of the anomaly scores, in [0, 1]; labels in `y` are as in `fit`, and both kinds are needed."""
        return float(roc_auc_score(is_abnormal(y), -self.score_samples(X)))

    @property
    def threshold_(self) -> float:
        """Anomaly score at or above which an image is flagged."""
        return self.decision_.threshold

    @property
    def offset_(self) -> float:
        """The value that `decision_function` subtracts."""
        # scikit-learn counts 0 as normal, while a score at the threshold is flagged.
        return float(np.nextafter(-self.threshold_, np.inf))

    def save(self, path: str | Path) -> None:
        """Writes the fitted detector: model.keras, which Keras can open without this package's help, and detector.json.

        Args:
            path: folder, created if necessary. A `random_state` other than None or an int is not saved.
        """
        check_is_fitted(self, "decision_")
        parameters = self.get_params(deep=False)
        if isinstance(self.random_state, np.random.RandomState):
            parameters["random_state"] = None
        names = getattr(self, "feature_names_in_", None)
        facts = {
            "parameters": parameters,
            "fitted": {name: getattr(self, name) for name in ("image_shape_", "value_range_", "n_features_in_")},
            "feature_names": None if names is None else list(names),
            "decision": self.decision_._asdict(),
        }
        write_detector(Path(path).expanduser(), self.model_, facts)

    @classmethod
    def load(cls, path: str | Path) -> "AGADDetector":
        """Reads a detector that `save` has written.

        Args:
            path: the folder.

        Returns:
            A fitted detector that gives the same scores.
        """
        model, facts = read_detector(Path(path).expanduser())
        # Versions without recipes had the paper's defaults.
        detector = cls(**{"recipe": PAPER, **facts["parameters"]})
        for name, value in facts["fitted"].items():
            setattr(detector, name, value)
        if facts["feature_names"]:
            detector.feature_names_in_ = np.array(facts["feature_names"], object)
        detector.decision_ = Decision(**facts["decision"])
        detector._take(model)
        return detector

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in super().__getstate__().items() if name != "_scorer"}
        if "model_" in state:
            # In a separate pickle, so that the random state can be protected while Keras reads it.
            state["model_"] = pickle.dumps(self.model_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Versions without recipes had the paper's defaults.
        super().__setstate__({**dict.fromkeys(self._get_param_names()), "recipe": PAPER, **state})
        if "model_" in state:
            with random_state_kept():
                self._take(unpickled(state["model_"]))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.classifier_tags = ClassifierTags(multi_class=False)  # y has two labels
        return tags

    def _take(self, model: AGAD) -> None:
        self.model_ = model
        self._scorer = Scorer(model, value_of(self.get_params(deep=False), "batch_size"))

    def _images(self, X: Any, fitting: bool) -> np.ndarray:  # noqa: N803
        """Checks `X`, and in `fit` stores its shape and range.

        Returns:
            uint8 or float32 (n, height, width, channels); [0, 255] is the value range.
        """
        array = check_array(X, allow_nd=True, ensure_min_samples=2 if fitting else 1, estimator=self, input_name="X")
        shape = shape_of_image(array.shape[1:]) if array.ndim > 2 else None
        if fitting:
            given = shape_of_image(self.image_shape) if self.image_shape is not None else None
            self.image_shape_ = given or shape or smallest_square(array.shape[1])
            self.value_range_ = value_range_of(self.value_range, array)
        if shape and shape != self.image_shape_:
            raise ValueError(
                f"X has images of height, width and channels {shape}; they must be {self.image_shape_}, as in "
                f"{'image_shape' if fitting else 'fit'}."
            )
        rows = array.reshape(len(array), -1)
        validate_data(self, X if array.ndim == 2 else rows, reset=fitting, skip_check_array=True)
        missing = math.prod(self.image_shape_) - rows.shape[1]
        if missing and self.image_shape is not None:
            raise ValueError(
                f"X has {rows.shape[1]} features, but images of image_shape={self.image_shape} have "
                f"{math.prod(self.image_shape_)}; give the shape of the images in the rows."
            )
        warn_of_another_range(rows, self.value_range_)
        return np.pad(as_bytes(rows, self.value_range_), ((0, 0), (0, missing))).reshape(-1, *self.image_shape_)
