"""One frozen dataclass says all there is to say about an experiment.

Flags, `config.cfg` (both in `agad_tf.flagfile`), `results.json` and the checks of what a user gave are made from its
fields: a new option is written once, here. This module imports neither TensorFlow nor Keras, so that `--help` and wrong
flags answer at once.
"""

import dataclasses
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agad_tf.options import COUNT, NOT_NEGATIVE, POSITIVE, Interval, option, parse_threshold


class UsageError(ValueError):
    """What the user asked for cannot be done; the message says what is wrong and what to do. Exit code 2."""


class RunError(Exception):
    """The run cannot go on with what it was given; the message says what is wrong and what to do. Exit code 1."""


# The names that options choose from. They stand here, and not where they are carried out, so that the command line
# knows them without importing TensorFlow.
MODES = ("train", "evaluate", "predict", "export", "benchmark", "audit")
# Data sets and their numbers of classes.
CLASS_COUNTS = {"fashion_mnist": 10, "mnist": 10, "cifar10": 10, "cifar100": 20, "digits": 10}
# Users' own images, in files or arrays that --data_dir names.
OWN_SETS = ("folder", "npz")
# The first is the paper's; the others are its ancestors, by the same networks and losses, and what any of them has to
# beat, by the libraries that are known for it.
ANCESTORS = ("ganomaly", "skip_ganomaly")
BASELINES = ("knn", "pca", "one_class_svm", "isolation_forest", "deep_svdd", "auto_encoder", "supervised")
METHODS = ("agad", *ANCESTORS, *BASELINES)
# Each is a function of its own name in a module of its own name in agad_tf/networks/.
GENERATORS = ("encoder_decoder", "unet", "unet_plus_plus")
NORMALIZATIONS = ("batch", "group", "instance", "none")
ANOMALY_DISTANCES = ("input", "reconstruction")
ANOMALY_NORMALIZATIONS = ("joint", "separate", "frozen")
PSEUDO_ANOMALY_NORMALIZATIONS = ("shared", "auxiliary")
# The networks halve an image four times.
SIZE_MULTIPLE = 16
# Options that do not define an experiment: what to do with it, and what it runs on.
WHERE_AND_HOW = (
    *("mode", "workdir", "data_dir", "threshold", "export_format"),
    *("max_megapixels", "cache_gib", "strategy", "devices", "steps_per_execution"),
)


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """Every option of an experiment.

    Raises:
        UsageError: a value out of its range, or two that contradict each other.
    """

    mode: str = option(
        "train",
        "train: train, evaluate and export; evaluate: measure the run in --workdir again; "
        "predict: score new pictures with it; "
        "export: write its SavedModel again; benchmark: train and measure every combination of values; "
        "audit: measure how far a model's scores depend on the batch.",
        choices=MODES,
    )
    workdir: str = option("", "Folder of the run; by default one below runs/ named after the experiment.")

    dataset: str = option(
        "fashion_mnist",
        "Data set; folder and npz are your own pictures or arrays, named by --data_dir.",
        choices=(*CLASS_COUNTS, *OWN_SETS),
    )
    data_dir: str = option("", "Folder or file that holds the data set; by default the known places are searched.")
    image_size: int = option(
        32, "Side in pixels that images are resized to, a multiple of 16.", interval=Interval(SIZE_MULTIPLE)
    )
    normal_class: int | str = option(
        0,
        "The class that is normal, by number or, of your own images, by name; all others are anomalies. In a folder "
        "the one that is called normal or good is class 0.",
    )
    gamma: float = option(
        0.0,
        "γ: share of labelled anomalies in the training set; 0 trains on normal images only.",
        interval=Interval(0, 1, high_included=False),
    )
    anomaly_classes: tuple[int | str, ...] = option(
        (), "Classes that labelled anomalies are drawn from, such as 1,4; empty means all but the normal one."
    )
    validation_fraction: float = option(
        0.1,
        "Share of the training set held out for validation.",
        interval=Interval(0, 1, low_included=False, high_included=False),
    )
    min_anomalies: int = option(32, "Least number of anomalies in a batch when --gamma is above 0.", interval=COUNT)

    method: str = option(
        "agad",
        "What detects: agad; its ancestors ganomaly and skip_ganomaly; or a baseline, of which supervised is the "
        "ceiling that sees all labels.",
        choices=METHODS,
    )
    generator: str = option("encoder_decoder", "Generator network.", choices=GENERATORS)
    width: float = option(1.0, "Scale of the number of filters of all networks.", interval=POSITIVE)
    normalization: str = option("batch", "Normalisation in all networks.", choices=NORMALIZATIONS)
    anomaly_normalization: str = option(
        "joint",
        "How labelled anomalies meet batch normalisation in training: joint, in one batch with the normals; "
        "separate, each kind of image in a batch of its own; frozen, by the moving statistics.",
        choices=ANOMALY_NORMALIZATIONS,
    )
    pseudo_anomaly_normalization: str = option(
        "shared",
        "Whether pseudo-anomalies use the generator's batch normalisation layers, or auxiliary ones of their own "
        "(AdvProp).",
        choices=PSEUDO_ANOMALY_NORMALIZATIONS,
    )

    contextual_adversarial: bool = option(
        True, "Whether agad trains with pseudo-anomalies (contextual adversarial information)."
    )
    anomaly_distance: str = option(
        "input",
        "Distance an anomaly is driven away by: from the input, equation (3), or from the reconstruction of its "
        "reconstruction, line 9 of Algorithm 1.",
        choices=ANOMALY_DISTANCES,
    )
    lambda_adv: float = option(1.0, "λ_adv, weight of the adversarial loss.", interval=NOT_NEGATIVE)
    lambda_con: float = option(50.0, "λ_con, weight of the contextual loss.", interval=NOT_NEGATIVE)
    lambda_adcon: float = option(15.0, "λ_adcon, weight of the contextual adversarial loss.", interval=NOT_NEGATIVE)
    lambda_lat: float = option(5.0, "λ_lat, weight of the latent loss.", interval=NOT_NEGATIVE)
    reciprocal_epsilon: float = option(1e-2, "Added to the losses that equation (10) divides by.", interval=POSITIVE)
    reinit_threshold: float = option(
        1e-5,
        "δ: the discriminator is drawn anew when its loss falls below; 0 never does.",
        interval=NOT_NEGATIVE,
    )

    epochs: int = option(12, "Passes over the normal training images.", interval=COUNT)
    batch_size: int = option(256, "Images in a training batch, anomalies included.", interval=COUNT)
    learning_rate: float = option(2e-4, "Learning rate of both Adam optimizers.", interval=POSITIVE)
    learning_rate_schedule: str = option(
        "constant",
        "constant, or cosine: from --learning_rate down towards 0 at the last epoch, which steadies the game.",
        choices=("constant", "cosine"),
    )
    beta_1: float = option(0.5, "β₁ of both Adam optimizers.", interval=Interval(0, 1, high_included=False))
    beta_2: float = option(0.999, "β₂ of both Adam optimizers.", interval=Interval(0, 1, high_included=False))
    seed: int = option(
        0,
        "Seed of weights, splits and order; on CPU a run repeats to the bit.",
        interval=Interval(0, 2**31 - 1),
    )
    jit_compile: str = option(
        "auto",
        "Compile passes and gradients of a training step with XLA; auto does where there is an accelerator, unless "
        "several would then each normalise by the statistics of their own images.",
        choices=("auto", "true", "false"),
    )
    mixed_precision: str = option(
        "none",
        "Number format that the networks compute in; weights, losses and scores are float32. float16 scales the "
        "losses.",
        choices=("none", "bfloat16", "float16"),
    )

    threshold: str = option(
        "auto",
        "Score at or above which an image is flagged, chosen on validation images: f1, the best F1; fpr=0.01, which "
        "flags no more than this share of normal images; quantile=0.99, of the scores of normal images; or the score "
        "itself. auto: f1 with labelled anomalies, else quantile=0.99.",
    )

    export_format: str = option(
        "saved_model",
        "What --mode=export writes: saved_model; onnx, model.onnx; or litert, model.tflite. Training writes that and "
        "a SavedModel.",
        choices=("saved_model", "onnx", "litert"),
    )
    max_megapixels: float = option(
        179.0,
        "Pictures of more pixels, in millions, are left out unread: a file of some kilobytes can hold one that fills "
        "all memory.",
        interval=POSITIVE,
    )
    cache_gib: float = option(
        4.0,
        "Memory in GiB that training images may take as the networks take them; if they need more, they are read anew "
        "for every batch.",
        interval=NOT_NEGATIVE,
    )
    strategy: str = option(
        "auto",
        "What trains: none, one device; mirrored, the devices of this machine; multi_worker, the machines that the "
        "environment variable TF_CONFIG names; auto, the most that there is.",
        choices=("auto", "none", "mirrored", "multi_worker"),
    )
    devices: tuple[str, ...] = option(
        (),
        "Devices to train on, such as GPU:0,GPU:1; by default all GPUs, or the processor. CPU:0,CPU:1 divides the "
        "processor in two.",
    )
    steps_per_execution: int = option(
        1,
        "Training steps that TensorFlow takes at a time, at most: the largest divisor of an epoch's steps up to this. "
        "More than 1 may pay for steps of a millisecond.",
        interval=COUNT,
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_field(field, getattr(self, field.name))
        try:
            parse_threshold(self.threshold)
        except ValueError as error:
            raise UsageError(f"--threshold is '{self.threshold}'; {error}") from error
        for contradicts, sentence in CONTRADICTIONS:
            if contradicts(self):
                raise UsageError(sentence.format(config=self, class_count=CLASS_COUNTS.get(self.dataset, "its own")))

    @property
    def folder(self) -> Path:
        """Where the run is kept: `workdir`, or a folder named after the experiment, other settings other name."""
        if self.workdir:
            return Path(self.workdir)
        digest = zlib.crc32(repr(self.settings()).encode())
        data = Path(self.data_dir).stem if self.dataset in OWN_SETS else self.dataset
        what = self.generator if self.method == "agad" else self.method
        return Path(f"runs/{data}-{self.normal_class}-gamma{self.gamma:g}-{what}-seed{self.seed}-{digest:08x}")

    def settings(self) -> dict[str, Any]:
        """What defines the outcome of the run: all options but `WHERE_AND_HOW`; and the user's own images."""
        left_out = set(WHERE_AND_HOW) - ({"data_dir"} if self.dataset in OWN_SETS else set())
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}


LAMBDAS = ("lambda_adv", "lambda_con", "lambda_adcon", "lambda_lat")
DEFAULTS = {field.name: field.default for field in dataclasses.fields(ExperimentConfig)}
# Each row: what contradicts, and the sentence that says so.
CONTRADICTIONS: tuple[tuple[Callable[[ExperimentConfig], bool], str], ...] = (
    (
        lambda config: not _are_classes(config, [config.normal_class]),
        "--normal_class is {config.normal_class}, but {config.dataset} has {class_count} classes; "
        "choose one from 0 to the number of classes less one.",
    ),
    (
        lambda config: not _are_classes(config, config.anomaly_classes),
        "--anomaly_classes is {config.anomaly_classes}, but {config.dataset} has {class_count} classes; "
        "choose from 0 to the number of classes less one.",
    ),
    (
        lambda config: config.dataset in OWN_SETS and not config.data_dir,
        "--dataset={config.dataset} is your own images; name the folder or file that holds them with --data_dir.",
    ),
    (
        lambda config: config.normal_class in config.anomaly_classes,
        "--anomaly_classes holds the normal class, {config.normal_class}; leave it out.",
    ),
    (
        lambda config: bool(config.anomaly_classes) and config.gamma == 0,
        "--anomaly_classes says where labelled anomalies come from, but --gamma=0 asks for none; "
        "give --gamma above 0 or leave --anomaly_classes out.",
    ),
    (
        lambda config: config.image_size % SIZE_MULTIPLE != 0,
        "--image_size is {config.image_size}; the networks halve the image, so choose a multiple of 16, "
        "such as 32, 64 or 128.",
    ),
    (
        lambda config: config.gamma > 0 and config.min_anomalies >= config.batch_size,
        "--min_anomalies={config.min_anomalies} leaves no room for normal images in a batch of "
        "--batch_size={config.batch_size}; lower the one or raise the other.",
    ),
    (
        lambda config: config.threshold == "f1" and config.gamma == 0,
        "--threshold=f1 needs labelled anomalies, but --gamma=0 has none; give --gamma above 0, or "
        "--threshold=fpr=0.01.",
    ),
    (
        lambda config: config.anomaly_normalization != "joint" and config.gamma == 0,
        "--anomaly_normalization={config.anomaly_normalization} treats labelled anomalies apart, but --gamma=0 "
        "has none; give --gamma above 0 or leave it at joint.",
    ),
    (
        lambda config: config.anomaly_normalization != "joint" and config.normalization != "batch",
        "--anomaly_normalization={config.anomaly_normalization} concerns batch statistics, which "
        "--normalization={config.normalization} does not use; leave one of the two at its default.",
    ),
    (
        lambda config: config.anomaly_distance == "reconstruction" and not config.contextual_adversarial,
        "--anomaly_distance=reconstruction needs the second reconstruction, which "
        "--contextual_adversarial=false leaves out; drop one of the two.",
    ),
    (
        lambda config: (
            config.pseudo_anomaly_normalization == "auxiliary"
            and not (config.contextual_adversarial and config.normalization == "batch")
        ),
        "--pseudo_anomaly_normalization=auxiliary is batch normalisation for pseudo-anomalies; it needs "
        "--normalization=batch and --contextual_adversarial.",
    ),
    (
        lambda config: config.lambda_adcon != DEFAULTS["lambda_adcon"] and not config.contextual_adversarial,
        "--lambda_adcon={config.lambda_adcon} weighs what --contextual_adversarial=false leaves out; drop one of the "
        "two.",
    ),
    (
        lambda config: config.anomaly_distance == "reconstruction" and config.gamma == 0,
        "--anomaly_distance=reconstruction is a distance of labelled anomalies, but --gamma=0 has none; give --gamma "
        "above 0 or leave it at input.",
    ),
    (
        lambda config: config.pseudo_anomaly_normalization == "auxiliary" and config.method in ANCESTORS,
        "--method={config.method} knows no pseudo-anomalies, which --pseudo_anomaly_normalization=auxiliary is for; "
        "leave it at shared.",
    ),
    (
        lambda config: config.method in BASELINES and config.export_format != "saved_model",
        "--method={config.method} leaves no detector that --export_format={config.export_format} could hold; leave it "
        "out, or give --method=agad.",
    ),
    (
        lambda config: config.method in ANCESTORS and config.gamma > 0,
        "--method={config.method} learns from normal images alone; give --gamma=0, or --method=agad.",
    ),
    (
        lambda config: config.method in ANCESTORS and any(getattr(config, name) != DEFAULTS[name] for name in LAMBDAS),
        "--method={config.method} is weighted as published; leave out --lambda_adv, --lambda_con, --lambda_adcon and "
        "--lambda_lat, or give --method=agad.",
    ),
    (
        lambda config: config.method == "ganomaly" and config.generator != "encoder_decoder",
        "--method=ganomaly compares codes, which --generator={config.generator} does not have; "
        "give --generator=encoder_decoder.",
    ),
    (
        lambda config: config.method in BASELINES and config.mode in ("predict", "export"),
        "--method={config.method} leaves no detector; its figures are in results.json.",
    ),
    (
        lambda config: (
            config.normalization == "instance" and config.image_size == 16 and config.generator != "encoder_decoder"
        ),
        "--normalization=instance turns the single pixel that --generator={config.generator} leaves of "
        "--image_size=16 into 0; use --image_size=32 or more.",
    ),
    (
        lambda config: config.dataset == "digits" and bool(config.data_dir),
        "--data_dir={config.data_dir} is given, but --dataset=digits comes with scikit-learn; leave --data_dir out.",
    ),
    (
        lambda config: any(not re.fullmatch(r"[CG]PU:\d+", device) for device in config.devices),
        "--devices is {config.devices}; write devices as CPU:0 or GPU:1, with commas between.",
    ),
    (
        lambda config: len(set(config.devices)) < len(config.devices),
        "--devices names a device twice: {config.devices}; name each once.",
    ),
    (
        lambda config: len({device[:3] for device in config.devices}) > 1,
        "--devices mixes processors and GPUs: {config.devices}; name one kind.",
    ),
    (
        lambda config: config.strategy == "none" and len(config.devices) > 1,
        "--strategy=none trains on one device, and --devices names {config.devices}; name one, or use mirrored.",
    ),
    (
        lambda config: config.strategy == "multi_worker" and bool(config.devices),
        "--strategy=multi_worker uses all devices of every machine; leave --devices out.",
    ),
    (
        lambda config: config.mode in ("evaluate", "predict", "export") and not config.workdir,
        "--mode={config.mode} works on a run that exists; name its folder with --workdir.",
    ),
)
# Flags of one mode alone; with any other they would be left unread.
FLAGS_OF_MODE = {
    **dict.fromkeys(("input", "output", "save_maps"), "predict"),
    **dict.fromkeys(("model", "training_mode"), "audit"),
    **dict.fromkeys(("sweep", "seeds", "budget"), "benchmark"),
}


def _are_classes(config: ExperimentConfig, classes: Iterable[int | str]) -> bool:
    """Whether the data set can have them; of a user's own set that is known when it is read."""
    if config.dataset in OWN_SETS:
        return all(isinstance(name, str) or name >= 0 for name in classes)
    return all(name in range(CLASS_COUNTS[config.dataset]) for name in classes)


def _check_field(field: dataclasses.Field, value: Any) -> None:
    choices, interval = field.metadata["choices"], field.metadata["interval"]
    if choices and value not in choices:
        raise UsageError(f"--{field.name} is '{value}'; choose one of {', '.join(choices)}.")
    if interval and value not in interval:
        raise UsageError(f"--{field.name} is {value}; it must be {interval}.")
