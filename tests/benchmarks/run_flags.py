"""The package's own flags for tools that are run by hand."""

import sys
from collections.abc import Callable, Sequence

from absl import flags

from agad_tf.config.command_line import EXIT_USAGE, stop
from agad_tf.config.errors import UsageError
from agad_tf.config.experiment import ExperimentConfig
from agad_tf.config.flagfiles import with_flagfiles
from agad_tf.config.flags import config_from_flags, define_flags


def read_flags(
    documentation: str | None, arguments: Sequence[str], define_others: Callable[[flags.FlagValues], None] | None = None
) -> tuple[ExperimentConfig, flags.FlagValues]:
    """The configuration that arguments give, and all flags; --help prints the documentation and ends the tool.

    Args:
        documentation: of the tool.
        arguments: flags, without the name of the tool.
        define_others: adds the tool's own flags.
    """
    if {"--help", "-h"} & {*arguments}:
        print(f"{documentation}\nThe flags are those of python -m agad_tf.main --help.")
        raise SystemExit(0)
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    if define_others is not None:
        define_others(flag_values)
    try:
        flag_values(with_flagfiles([sys.argv[0], *arguments]))
        return config_from_flags(flag_values), flag_values
    except (flags.Error, UsageError) as error:
        stop(error, EXIT_USAGE)
