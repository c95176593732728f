"""What a user should know of a run before trusting its detector."""

from collections.abc import Iterator, Mapping

from agad_tf.evaluation.collapse import collapse_signs


def run_warnings(curves: Mapping[str, Mapping[int, float]], learning_rate_scale: float) -> Iterator[str]:
    """Looks through the epochs of a run for signs of trouble.

    Args:
        curves: the scalars of every epoch, by name and by epoch.
        learning_rate_scale: share that the learning rate was lowered to as training diverged, in (0, 1]; 1 if it
            never did.

    Yields:
        A sentence for each sign.
    """
    if skipped := sum(curves.get("skipped_steps", {}).values()):
        yield f"{skipped:.0f} training steps were left out, as a loss or gradient was not finite."
    if learning_rate_scale < 1:
        yield f"Training diverged, and went on with {learning_rate_scale:.1g} times the learning rate."
    # Every epoch leaves figures, but for those that a time budget leaves out before the end of the last one.
    epochs = {epoch for curve in curves.values() for epoch in curve}
    if epochs and len(epochs) < max(epochs):
        yield f"The time budget ended training in epoch {len(epochs)} of {max(epochs)}."
    last = {name: curve[max(curve)] for name, curve in curves.items()}
    yield from (f"After the last epoch {sign}" for sign in collapse_signs(last))
