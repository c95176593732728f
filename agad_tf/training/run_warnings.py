"""Warnings that a user should read before trusting a detector."""

from collections.abc import Iterator, Mapping

from agad_tf.evaluation.collapse import collapse_signs


def run_warnings(curves: Mapping[str, Mapping[int, float]], learning_rate_scale: float) -> Iterator[str]:
    """Searches the epochs of a run for problems.

    Args:
        curves: the scalars of every epoch, by name and by epoch.
        learning_rate_scale: factor by which divergence lowered the learning rate, in (0, 1]; 1 if training never
            diverged.

    Yields:
        A sentence for each problem.
    """
    if skipped := sum(curves.get("skipped_steps", {}).values()):
        yield f"{skipped:.0f} training steps were skipped, because a loss or gradient was not finite."
    if learning_rate_scale < 1:
        yield f"Training diverged, and continued with {learning_rate_scale:.1g} times the learning rate."
    # Every epoch has figures, except those that a time budget skips.
    epochs = {epoch for curve in curves.values() for epoch in curve}
    if epochs and len(epochs) < max(epochs):
        yield f"The time budget ended training in epoch {len(epochs)} of {max(epochs)}."
    last = {name: curve[max(curve)] for name, curve in curves.items()}
    yield from (f"After the last epoch {sign}" for sign in collapse_signs(last))
