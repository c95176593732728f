"""Every option of an experiment: its name, type, default, help text and the values it may take.

Flags, `config.cfg` and `results.json` are made from these fields, so a new option is written once, here.
"""

import dataclasses

from agad_tf.config.choices import (
    ALIGNED,
    ANOMALY_DISTANCES,
    ANOMALY_NORMALIZATIONS,
    CLASS_COUNTS,
    GENERATORS,
    LEARNING_RATE_SCHEDULES,
    METHODS,
    MODES,
    NORMALIZATIONS,
    OWN_SETS,
    PSEUDO_ANOMALY_NORMALIZATIONS,
    SCORES,
    SYNTHETIC_ANOMALIES,
)
from agad_tf.config.options import COUNT, NOT_NEGATIVE, POSITIVE, Interval, Unsaid, UnsaidName, option


@dataclasses.dataclass(frozen=True)
class ExperimentFields:
    """The options of an experiment, unchecked."""

    mode: str = option(
        "train",
        "train: train, evaluate and export; evaluate: measure the run in --workdir again; predict: score new images "
        "with it; export: write its SavedModel again; benchmark: train and measure every combination of values; "
        "audit: measure how much a model's scores depend on the batch; demo: open a page on this machine that scores "
        "the images you drop on it.",
        choices=MODES,
    )
    workdir: str = option("", "Folder of the run; by default one below runs/ named after the experiment.")

    dataset: str = option(
        "fashion_mnist",
        "Data set; folder and npz are your own images or arrays, named by --data_dir.",
        choices=(*CLASS_COUNTS, *OWN_SETS),
    )
    data_dir: str = option(
        "", "Folder or file of the data set; by default, benchmark sets are searched for in known places."
    )
    image_size: int | str = option(
        32,
        "Size in pixels that images are resized to, in multiples of 16: one side, such as 128; height and width, such "
        "as 384x512; or native, their own size. With --crop_size, one side means the longer side: images keep their "
        "shape, and smaller ones are not enlarged.",
    )
    crop_size: int = option(
        0,
        "Side in pixels of the random crops that training uses, a multiple of 16; 0 trains on whole images. Scoring "
        "always uses whole images.",
        interval=NOT_NEGATIVE,
    )
    scales: tuple[int, ...] = option(
        (1,),
        "With --crop_size: factors by which images are shrunk before they are cropped, such as 1,2,4. The score uses "
        "error maps at each scale.",
    )
    normal_class: int | str = option(
        Unsaid(0),
        "The normal class, by number or, for your own images, by name; all others are anomalies. In a folder, the "
        "class called normal, good, ok, healthy or negative is class 0.",
    )
    gamma: float = option(
        0.0,
        "γ: share of labelled anomalies in the training set; 0 trains on normal images only.",
        interval=Interval(0, 1, high_included=False),
    )
    anomaly_classes: tuple[int | str, ...] = option(
        (), "Classes that labelled anomalies are drawn from, such as 1,4; empty means all except the normal class."
    )
    validation_fraction: float = option(
        0.1,
        "Share of the training set held out for validation.",
        interval=Interval(0, 1, low_included=False, high_included=False),
    )
    min_anomalies: int = option(
        Unsaid(32),
        "Minimum number of anomalies in a batch when --gamma is above 0; by default 32, or an eighth of a batch "
        "smaller than 64 images.",
        interval=COUNT,
    )

    method: str = option(
        "agad",
        "Method of detection: agad; its ancestors ganomaly and skip_ganomaly; or a baseline. The baseline supervised "
        "trains on all labels, as an upper bound.",
        choices=METHODS,
    )
    generator: str = option(
        UnsaidName("encoder_decoder"),
        "Generator network; by default encoder_decoder, or unet with --method=skip_ganomaly, as published.",
        choices=GENERATORS,
    )
    width: float = option(1.0, "Scale of the number of filters of all networks.", interval=POSITIVE)
    normalization: str = option("batch", "Normalisation in all networks.", choices=NORMALIZATIONS)
    anomaly_normalization: str = option(
        "joint",
        "How batch normalisation treats labelled anomalies in training: joint, in one batch with normal images; "
        "separate, in a batch of their own; frozen, normalised by the moving statistics.",
        choices=ANOMALY_NORMALIZATIONS,
    )
    pseudo_anomaly_normalization: str = option(
        "shared",
        "Batch normalisation of pseudo-anomalies: shared, by the generator's own layers; auxiliary, by additional "
        "layers (AdvProp).",
        choices=PSEUDO_ANOMALY_NORMALIZATIONS,
    )

    contextual_adversarial: bool = option(
        True, "Whether agad trains with pseudo-anomalies (contextual adversarial information)."
    )
    synthetic_anomalies: tuple[str, ...] = option(
        (),
        "Anomalies made from normal images, which agad treats as labelled ones, separated by commas: "
        f"{', '.join(SYNTHETIC_ANOMALIES)}. Empty means none.",
    )
    synthetic_share: float = option(
        0.125,
        "Share of synthetic anomalies in a batch.",
        interval=Interval(0, 1, low_included=False, high_included=False),
    )
    local_anomalies: float = option(
        0.0,
        "Share of normal training images that get a small artificial flaw, which the generator learns to restore.",
        interval=Interval(0, 1),
    )
    segmentation: bool = option(
        False,
        "Whether a third network, the segmenter, learns from --local_anomalies which pixels are abnormal.",
    )
    light_variation: float = option(
        0.0,
        "How much brightness, contrast and gamma of training images vary, from 0 to 1. Raise it if lighting differs "
        "between images and does not matter.",
        interval=Interval(0, 1),
    )
    aligned: str = option(
        "auto",
        "With --score=peak: whether all images show the same part at the same place, so that each pixel is compared "
        "with the same pixel of normal images. auto chooses what fits the normal images better.",
        choices=ALIGNED,
    )
    horizontal_flip: bool = option(
        False,
        "Whether each training image is mirrored left to right half of the time. Use it where a mirror image is "
        "normal too.",
    )
    anomaly_distance: str = option(
        "input",
        "What the reconstruction of an anomaly is pushed away from: the input, equation (3), or the reconstruction of "
        "the reconstruction, line 9 of Algorithm 1.",
        choices=ANOMALY_DISTANCES,
    )
    lambda_adv: float = option(1.0, "λ_adv, weight of the adversarial loss.", interval=NOT_NEGATIVE)
    lambda_con: float = option(50.0, "λ_con, weight of the contextual loss.", interval=NOT_NEGATIVE)
    lambda_adcon: float = option(15.0, "λ_adcon, weight of the contextual adversarial loss.", interval=NOT_NEGATIVE)
    lambda_lat: float = option(5.0, "λ_lat, weight of the latent loss.", interval=NOT_NEGATIVE)
    reciprocal_epsilon: float = option(1e-2, "Added to the losses that equation (10) divides by.", interval=POSITIVE)
    reinit_threshold: float = option(
        1e-5,
        "δ: the discriminator gets new random weights when its loss falls below this; 0 turns that off.",
        interval=NOT_NEGATIVE,
    )

    epochs: int = option(12, "Passes over the normal training images.", interval=COUNT)
    steps_per_epoch: int = option(
        0,
        "Minimum number of training steps in an epoch; with few images, an epoch then passes over them several times. "
        "0 means one pass.",
        interval=NOT_NEGATIVE,
    )
    batch_size: int = option(256, "Images in a training batch, anomalies included.", interval=COUNT)
    learning_rate: float = option(2e-4, "Learning rate of both Adam optimizers.", interval=POSITIVE)
    learning_rate_schedule: str = option(
        "constant",
        "How the learning rate changes: constant, as in the paper; or falling from --learning_rate to 0 at the "
        "last epoch, which makes the last epochs steadier: cosine; cubic, which falls faster; sextic, which falls "
        "fastest.",
        choices=LEARNING_RATE_SCHEDULES,
    )
    beta_1: float = option(0.5, "β₁ of both Adam optimizers.", interval=Interval(0, 1, high_included=False))
    beta_2: float = option(0.999, "β₂ of both Adam optimizers.", interval=Interval(0, 1, high_included=False))
    ema_momentum: float = option(
        0.0,
        "Momentum of an exponential moving average of the generator's weights. With the average, scores vary less "
        "from epoch to epoch. After t steps the momentum is at most (1 + t) / (10 + t). 0 scores with the weights "
        "themselves.",
        interval=Interval(0, 1, high_included=False),
    )
    seed: int = option(
        0,
        "Seed for weights, splits and the order of images. On a CPU, the same seed gives bit-identical results.",
        interval=Interval(0, 2**31 - 1),
    )
    jit_compile: str = option(
        "auto",
        "Whether XLA compiles the passes and gradients of a training step. auto compiles on accelerators.",
        choices=("auto", "true", "false"),
    )
    synchronized_batch_norm: bool = option(
        False,
        "Whether several devices share batch statistics, so that they compute what one device would. Otherwise, each "
        "device normalises by its own images. XLA cannot compile a step that shares statistics.",
    )
    mixed_precision: str = option(
        "none",
        "Number format that the networks compute in; weights, losses and scores are float32. float16 scales the "
        "losses.",
        choices=("none", "bfloat16", "float16"),
    )

    score: str = option(
        "euclidean",
        "The anomaly score of agad. Norms of the residual x - G(x): euclidean, as in the paper; smoothed, with "
        "residuals averaged over 3 by 3 pixels; mahalanobis, which compares residuals averaged over windows with "
        "those of normal training images; combined, the geometric mean of the last two. Or peak: the highest values "
        "of error maps, and a comparison of the whole image with normal ones.",
        choices=SCORES,
    )
    protocols: tuple[str, ...] = option(
        ("per_image",),
        "How the test set is scored: per_image, each image by itself, as in use; in addition, family and "
        "family_shuffled, by batch statistics, for comparison with published figures. family scores the test set in "
        "every epoch.",
    )
    threshold: str = option(
        "auto",
        "Score at or above which an image is flagged, chosen on validation images: f1, the best F1; fpr=0.01, which "
        "flags no more than this share of normal images; quantile=0.99, of the scores of normal images; or the score "
        "itself. auto: f1 with labelled anomalies, else quantile=0.99.",
    )

    export_format: str = option(
        "saved_model",
        "What --mode=export writes: saved_model; onnx, model.onnx; or litert, model.tflite. Training writes this "
        "format in addition to a SavedModel.",
        choices=("saved_model", "onnx", "litert"),
    )
    max_megapixels: float = option(
        179.0,
        "Images with more pixels, in millions, are left out: a file of a few kilobytes can hold an image that fills "
        "all memory.",
        interval=POSITIVE,
    )
    cache_gib: float = option(
        4.0,
        "Memory in GiB for training images after resizing. If they need more, they are decoded again for every batch.",
        interval=NOT_NEGATIVE,
    )
    strategy: str = option(
        "auto",
        "Where training runs: none, on one device; mirrored, on the devices of this machine; multi_worker, on the "
        "machines that the environment variable TF_CONFIG names; auto, on all available devices.",
        choices=("auto", "none", "mirrored", "multi_worker"),
    )
    devices: tuple[str, ...] = option(
        (),
        "Devices to train on, such as GPU:0,GPU:1; by default all GPUs, or the processor. CPU:0,CPU:1 divides the "
        "processor in two.",
    )
    steps_per_execution: int = option(
        1,
        "Maximum number of training steps in one execution of the graph; the largest divisor of the steps per epoch "
        "is used. Try more than 1 if a step takes only a millisecond.",
        interval=COUNT,
    )
