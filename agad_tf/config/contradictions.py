"""Flags that contradict each other: a table of conditions, each with the sentence that refuses it before any work."""

import re
from collections.abc import Callable, Iterable

from agad_tf.config.choices import (
    ANCESTORS,
    BASELINES,
    CLASS_COUNTS,
    OWN_SETS,
    PEAK,
    PROTOCOLS,
    SIZE_MULTIPLE,
    SYNTHETIC_ANOMALIES,
)
from agad_tf.config.fields import ExperimentFields

OF_PEAK = ("local_anomalies", "crop_size", "scales", "light_variation", "aligned")
LAMBDAS = ("lambda_adv", "lambda_con", "lambda_adcon", "lambda_lat")
# Each row: the contradiction, and the sentence about it, in which {config} and {class_count} are filled in.
CONTRADICTIONS: tuple[tuple[Callable[[ExperimentFields], bool], str], ...] = (
    (
        lambda config: not _are_classes(config, [config.normal_class]),
        "--normal_class is {config.normal_class}, but {config.dataset} has {class_count} classes; choose a number "
        "from 0 to the number of classes minus 1.",
    ),
    (
        lambda config: not _are_classes(config, config.anomaly_classes),
        "--anomaly_classes is {config.anomaly_classes}, but {config.dataset} has {class_count} classes; choose "
        "numbers from 0 to the number of classes minus 1.",
    ),
    (
        lambda config: config.dataset in OWN_SETS and not config.data_dir,
        "--dataset={config.dataset} reads your own images; name their folder or file with --data_dir.",
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
        lambda config: not set(config.synthetic_anomalies) <= set(SYNTHETIC_ANOMALIES),
        "--synthetic_anomalies is {config.synthetic_anomalies}; choose from "
        f"{', '.join(SYNTHETIC_ANOMALIES)}, separated by commas.",
    ),
    (
        lambda config: len(set(config.synthetic_anomalies)) < len(config.synthetic_anomalies),
        "--synthetic_anomalies names a kind twice: {config.synthetic_anomalies}; name each once.",
    ),
    (
        lambda config: bool(config.synthetic_anomalies) and config.method in ANCESTORS,
        "--method={config.method} does not learn from --synthetic_anomalies; leave them out, or give --method=agad.",
    ),
    (
        lambda config: not _is_default(config, "synthetic_share") and not config.synthetic_anomalies,
        "--synthetic_share={config.synthetic_share} needs --synthetic_anomalies; name some, or leave "
        "--synthetic_share out.",
    ),
    (
        lambda config: config.score != "euclidean" and config.method in ANCESTORS,
        "--method={config.method} has a score of its own, not --score={config.score}; leave --score out (flagfiles "
        "for your own images set it with --recipe=own_images: add --recipe=paper), or give --method=agad.",
    ),
    (
        lambda config: bool(config.local_anomalies) and config.method in ANCESTORS,
        "--method={config.method} does not learn from --local_anomalies; leave them out, or give --method=agad.",
    ),
    (
        lambda config: bool(config.local_anomalies) and bool(config.synthetic_anomalies),
        "The generator learns to restore --local_anomalies, but not --synthetic_anomalies; give one of the two.",
    ),
    (
        lambda config: config.segmentation and not config.local_anomalies,
        "--segmentation learns from local anomalies, but --local_anomalies=0 makes none; give a share such as 0.8.",
    ),
    (
        lambda config: config.score == PEAK and config.contextual_adversarial,
        "--contextual_adversarial teaches the generator to distort its own reconstructions, but --score=peak needs "
        "them intact; add --contextual_adversarial=false.",
    ),
    (
        lambda config: config.score != PEAK and not all(_is_default(config, name) for name in OF_PEAK),
        "--local_anomalies, --crop_size, --scales, --light_variation and --aligned go with --score=peak, not "
        "{config.score}; give --score=peak, or leave them out, as --recipe=paper does.",
    ),
    (
        lambda config: config.crop_size % SIZE_MULTIPLE != 0,
        "--crop_size is {config.crop_size}; the networks halve an image four times, so choose a multiple of 16, such "
        "as 64 or 128.",
    ),
    (
        lambda config: any(scale < 1 for scale in config.scales) or len(set(config.scales)) < len(config.scales),
        "--scales is {config.scales}; give different whole numbers of at least 1, such as 1,2,4.",
    ),
    (
        lambda config: not config.scales or (config.scales != (1,) and not config.crop_size),
        "--scales={config.scales} needs --crop_size, the size of the crops at each scale; give both.",
    ),
    (
        lambda config: "per_image" not in config.protocols or not set(config.protocols) <= set(PROTOCOLS),
        "--protocols is {config.protocols}; give per_image, alone or with family_shuffled and family.",
    ),
    (
        lambda config: config.gamma > 0 and config.batch_size < 2,
        "--batch_size={config.batch_size} has no room for an anomaly beside a normal image; give 2 or more.",
    ),
    (
        lambda config: config.gamma > 0 and config.min_anomalies >= config.batch_size,
        "--min_anomalies={config.min_anomalies} leaves no room for normal images in a batch of "
        "--batch_size={config.batch_size}; lower --min_anomalies or raise --batch_size.",
    ),
    (
        lambda config: config.threshold == "f1" and config.gamma == 0,
        "--threshold=f1 needs labelled anomalies, but --gamma=0 has none; give --gamma above 0, or "
        "--threshold=fpr=0.01.",
    ),
    (
        lambda config: config.anomaly_normalization != "joint" and not _trains_with_anomalies(config),
        "--anomaly_normalization={config.anomaly_normalization} treats anomalies separately, but --gamma=0 has none; "
        "give --gamma above 0, name --synthetic_anomalies, or use joint.",
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
        "--pseudo_anomaly_normalization=auxiliary adds batch normalisation layers for pseudo-anomalies; it needs "
        "--normalization=batch and --contextual_adversarial.",
    ),
    (
        lambda config: (
            not _is_default(config, "lambda_adcon")
            and not config.contextual_adversarial
            and not _trains_with_anomalies(config)
        ),
        "--lambda_adcon={config.lambda_adcon} has no effect without anomalies and with "
        "--contextual_adversarial=false; leave one of the two out.",
    ),
    (
        lambda config: config.anomaly_distance == "reconstruction" and not _trains_with_anomalies(config),
        "--anomaly_distance=reconstruction needs anomalies, but --gamma=0 has none; give --gamma above 0, name "
        "--synthetic_anomalies, or use input.",
    ),
    (
        lambda config: config.pseudo_anomaly_normalization == "auxiliary" and config.method in ANCESTORS,
        "--pseudo_anomaly_normalization=auxiliary is for pseudo-anomalies, which --method={config.method} does not "
        "have; use shared.",
    ),
    (
        lambda config: config.method in BASELINES and config.export_format != "saved_model",
        "--method={config.method} makes no detector that can be exported with --export_format={config.export_format}; "
        "leave that out, or give --method=agad.",
    ),
    (
        lambda config: config.method in ANCESTORS and config.gamma > 0,
        "--method={config.method} learns from normal images only; give --gamma=0, or --method=agad.",
    ),
    (
        lambda config: config.method in ANCESTORS and not all(_is_default(config, name) for name in LAMBDAS),
        "--method={config.method} has fixed weights, as published; leave out --lambda_adv, --lambda_con, "
        "--lambda_adcon and --lambda_lat, or give --method=agad.",
    ),
    (
        lambda config: config.method == "ganomaly" and config.generator != "encoder_decoder",
        "--method=ganomaly compares codes, which --generator={config.generator} does not have; "
        "give --generator=encoder_decoder.",
    ),
    (
        lambda config: config.method in BASELINES and config.mode in ("predict", "export", "demo"),
        "--method={config.method} makes no detector; its figures are in results.json.",
    ),
    (
        lambda config: (
            config.normalization == "instance"
            and 16 in (config.image_size, config.crop_size)
            and config.generator != "encoder_decoder"
        ),
        "--normalization=instance would set everything to 0: --generator={config.generator} reduces 16 by 16 pixels "
        "to a single one; use an --image_size of 32 or more.",
    ),
    (
        lambda config: config.dataset == "digits" and bool(config.data_dir),
        "--data_dir={config.data_dir} is given, but --dataset=digits comes with scikit-learn; leave --data_dir out.",
    ),
    (
        lambda config: any(not re.fullmatch(r"[CG]PU:\d+", device) for device in config.devices),
        "--devices is {config.devices}; write devices as CPU:0 or GPU:1, separated by commas.",
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
        "--strategy=none trains on one device, but --devices names {config.devices}; name one, or use mirrored.",
    ),
    (
        lambda config: config.strategy == "multi_worker" and bool(config.devices),
        "--strategy=multi_worker uses all devices of every machine; leave --devices out.",
    ),
    (
        lambda config: config.synchronized_batch_norm and config.jit_compile == "true",
        "--synchronized_batch_norm shares statistics between devices within a step, which --jit_compile=true "
        "cannot compile; leave one of the two out.",
    ),
    (
        lambda config: config.synchronized_batch_norm and config.normalization != "batch",
        "--synchronized_batch_norm concerns batch statistics, which --normalization={config.normalization} does not "
        "use; leave one of the two at its default.",
    ),
    (
        lambda config: config.mode in ("evaluate", "predict", "export", "demo") and not config.workdir,
        "--mode={config.mode} needs an existing run; name its folder with --workdir.",
    ),
)
# Flags that only some modes read.
FLAGS_OF_MODE = {
    **dict.fromkeys(("input", "output", "save_maps"), ("predict",)),
    **dict.fromkeys(("model", "training_mode", "input_range"), ("audit",)),
    **dict.fromkeys(("sweep", "seeds"), ("benchmark",)),
    "budget": ("train", "benchmark"),
}


def _is_default(config: ExperimentFields, name: str) -> bool:
    return getattr(config, name) == getattr(type(config), name)


def _trains_with_anomalies(config: ExperimentFields) -> bool:
    return config.gamma > 0 or bool(config.synthetic_anomalies)


def _are_classes(config: ExperimentFields, classes: Iterable[int | str]) -> bool:
    """Whether the data set can have these classes; names of users' own classes are checked when the set is read."""
    if config.dataset == "folder":
        # Its classes may have any names, even -1.
        return True
    if config.dataset in OWN_SETS:
        return all(isinstance(name, str) or name >= 0 for name in classes)
    return all(name in range(CLASS_COUNTS[config.dataset]) for name in classes)
