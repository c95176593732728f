"""The ways to score a test set.

`per_image` is what a user gets, and the only one that counts as a result. `family` scores as public code of the
GANomaly family does: the networks stay in training mode, so an image's score depends on its batch. Its batches are
ordered by label, so the label leaks into the score. `family_shuffled` also uses training mode, but with mixed batches,
in which no label can leak: the difference to `family` is the leak. Both exist only for comparison with published
tables.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from agad_tf.data.images_in_files import Images, joined
from agad_tf.data.scoring_batches import images_at_a_time, scoring_batches
from agad_tf.data.splits import ABNORMAL, NORMAL, Split
from agad_tf.models.agad import AGAD

PROTOCOLS = {"per_image": False, "family_shuffled": False, "family": True}
"""By name: whether the labels of the test set leak into its figures."""


class Scorer:
    """Scores images with a model under each protocol; compiles each kind of pass once.

    Args:
        model: the detector.
        batch_size: images at a time; fewer if they are large, except under the other two protocols, where the batch
            defines the statistics.
        progress: whether to show a progress bar.
        before_batch: called before each batch; what it raises ends scoring.
    """

    def __init__(
        self, model: AGAD, batch_size: int, progress: bool = False, before_batch: Callable[[], None] = lambda: None
    ):
        self.image_size = model.scoring_size
        self.batch_size = batch_size
        self.progress = progress
        self.before_batch = before_batch
        # One graph for batches of any size, because the last batch is shorter.
        signature = [tf.TensorSpec((None, *model.scoring_shape), tf.float32)]
        self._per_image = tf.function(model.anomaly_score, input_signature=signature, autograph=False)
        self._by_batch_statistics = tf.function(
            lambda images: model.reconstruct_and_score(images, batch_statistics=True)[1],
            input_signature=signature,
            autograph=False,
        )

    def per_image(self, images: Images) -> np.ndarray:
        """A(x) by the moving statistics.

        Args:
            images: uint8 (images, height, width, channels), in memory or in files.

        Returns:
            float32 (images,).
        """
        batch_size = images_at_a_time(self.image_size, self.batch_size)
        return self._run(self._per_image, images, batch_size, "scoring")

    def family(self, test: Split) -> tuple[np.ndarray, np.ndarray]:
        """A(x) by the statistics of each batch, all normals first; the moving statistics stay as they are.

        Args:
            test: the test set, in any order.

        Returns:
            The labels, int32 (images,), and float32 (images,) scores, both in the order of scoring.
        """
        ordered = [test.of_label(NORMAL), test.of_label(ABNORMAL)]
        images = joined([split.images for split in ordered])
        labels = np.concatenate([split.labels for split in ordered])
        return labels, self._run(self._by_batch_statistics, images, self.batch_size, "scoring (family)")

    def family_shuffled(self, test: Split, seed: int) -> np.ndarray:
        """A(x) by the statistics of each batch, normals and anomalies mixed; the moving statistics stay as they are.

        Args:
            test: the test set.
            seed: of the order that images are scored in.

        Returns:
            float32 (images,), in the order of the test set.
        """
        order = np.random.default_rng(seed).permutation(len(test.images))
        scores = np.empty(len(order), np.float32)
        scores[order] = self._run(
            self._by_batch_statistics, test.images[order], self.batch_size, "scoring (family_shuffled)"
        )
        return scores

    def _run(
        self, function: tf.types.experimental.PolymorphicFunction, images: Images, batch_size: int, name: str
    ) -> np.ndarray:
        batches = scoring_batches(images, self.image_size, batch_size)
        bar = tqdm(batches, name, unit="batch", disable=None if self.progress else True, delay=1, leave=False)
        scores = []
        for batch in bar:
            self.before_batch()
            scores.append(function(batch).numpy())
        return np.concatenate(scores)
