"""The names that options choose from.

They are kept apart from their implementations, so that the command line knows them without importing TensorFlow.
"""

MODES = ("train", "evaluate", "predict", "export", "benchmark", "audit", "demo")
# Data sets and their numbers of classes.
CLASS_COUNTS = {"fashion_mnist": 10, "mnist": 10, "cifar10": 10, "cifar100": 20, "digits": 10}
# Users' own images, in files or arrays that --data_dir names.
OWN_SETS = ("folder", "npz")
# The first is the paper's. Its two ancestors use the same networks and losses. The others are baselines from well-known
# libraries.
ANCESTORS = ("ganomaly", "skip_ganomaly")
BASELINES = ("knn", "pca", "one_class_svm", "isolation_forest", "deep_svdd", "auto_encoder", "supervised")
METHODS = ("agad", *ANCESTORS, *BASELINES)
# The options that define a baseline; the supervised ceiling reads its size as well. Ancestors read all options except
# those about anomalies, and except the weights, which are those of their papers.
READ_BY_BASELINES = (
    *("dataset", "data_dir", "normal_class", "gamma", "anomaly_classes", "validation_fraction", "seed", "method"),
)
READ_BY_THE_CEILING = ("image_size", "width")
UNREAD_BY_ANCESTORS = (
    *("contextual_adversarial", "pseudo_anomaly_normalization", "anomaly_distance", "anomaly_normalization"),
    *("synthetic_anomalies", "synthetic_share", "min_anomalies", "score"),
    *("lambda_adv", "lambda_con", "lambda_adcon", "lambda_lat", "reciprocal_epsilon"),
    *("local_anomalies", "segmentation", "crop_size", "scales", "light_variation", "aligned"),
)
# Each is a function in agad_tf/networks/, in a module of the same name.
GENERATORS = ("encoder_decoder", "unet", "unet_plus_plus")
NORMALIZATIONS = ("batch", "group", "instance", "none")
ANOMALY_DISTANCES = ("input", "reconstruction")
ANOMALY_NORMALIZATIONS = ("joint", "separate", "frozen")
# Each is a function of the same name in agad_tf/data/synthetic_anomalies.py.
SYNTHETIC_ANOMALIES = ("rotation", "warp", "cut_paste", "shuffle", "overlay", "erasure")
PSEUDO_ANOMALY_NORMALIZATIONS = ("shared", "auxiliary")
# The functions of these names are in agad_tf/training/learning_rate.py.
LEARNING_RATE_SCHEDULES = ("constant", "cosine", "cubic", "sextic")
RESIDUAL_NORMS = ("euclidean", "smoothed", "mahalanobis", "combined")
# A norm of the residuals, or the peak of a map.
PEAK = "peak"
SCORES = (*RESIDUAL_NORMS, PEAK)
# Whether images show the same part at the same place.
ALIGNED = ("auto", "yes", "no")
# The ways to score a test set. In all but the first, an image's score depends on the other images.
PROTOCOLS = ("per_image", "family_shuffled", "family")
# Images keep their own size.
NATIVE = "native"
# Ranges of the values that an audited model may take.
INPUT_RANGES = ("0..255", "0..1", "-1..1")
# With --mode=benchmark: every class in turn as the normal one, and each other class in turn as the labelled anomalies.
ALL = "all"
EACH = "each"
# The networks halve an image four times.
SIZE_MULTIPLE = 16
# Settings that earlier versions did not have; their defaults do what those versions did. At its default, a later
# setting is left out of a run's name. The earlier ones are part of it, because 0.5.0 wrote them.
ADDED_UNTIL_0_5 = ("method", "mixed_precision", "pseudo_anomaly_normalization")
ADDED_SINCE_0_6 = ("synthetic_anomalies", "synthetic_share", "horizontal_flip", "score", "ema_momentum")
ADDED_SINCE_0_7 = (
    *("crop_size", "scales", "local_anomalies", "segmentation", "light_variation", "aligned", "steps_per_epoch"),
    "synchronized_batch_norm",
)
# Earlier names of options.
EARLIER_NAMES = {"score": "residual_norm"}
# Options that do not define an experiment: they say what to do and on which hardware.
WHERE_AND_HOW = (
    *("mode", "workdir", "data_dir", "threshold", "protocols", "export_format"),
    *("max_megapixels", "cache_gib", "strategy", "devices", "steps_per_execution"),
)
