"""The findings of an audit, and its verdict in one sentence."""

import dataclasses

# There are many more scores than copies of probes, so chance may change scores by this multiple of the difference
# between copies.
CHANCE_MARGIN = 2
# Least difference of two AUROCs that the verdict mentions.
LEAST_GAIN = 0.01


@dataclasses.dataclass(frozen=True)
class Condition:
    """The figures for batches of one kind and size.

    Attributes:
        condition: kind of the batches.
        batch_size: images in a batch.
        images: number of images that were scored in this way.
        auroc: of their scores, a fraction.
        auroc_alone: of the scores of the same images alone.
        median_change: of scores from those of the same images alone, in units of `Audit.unit`.
        largest_change: the largest such change.
    """

    condition: str
    batch_size: int
    images: int
    auroc: float
    auroc_alone: float
    median_change: float
    largest_change: float


@dataclasses.dataclass(frozen=True)
class Audit:
    """The findings.

    Attributes:
        conditions: one for each kind and size of batch; the first is "alone".
        unit: standard deviation that changes are divided by, in units of the score; above 0.
        alone_differs: whether scores of images alone differ from each other; if not, `unit` is that of scores in
            batches.
        chance: largest difference between scores of copies of an image in one batch, in units of `unit`. It exceeds
            rounding if scores are random or depend on the position in the batch.
        tolerance: largest change that rounding and chance can explain.
        probes: number of images that were put into batches of others.
        seed: of random choices.
    """

    conditions: tuple[Condition, ...]
    unit: float
    alone_differs: bool
    chance: float
    tolerance: float
    probes: int
    seed: int

    @property
    def worst(self) -> Condition:
        """The condition with the largest change."""
        return max(self.conditions, key=lambda condition: condition.largest_change)

    @property
    def depends(self) -> bool:
        """Whether the score of an image depends on its batch."""
        return self.worst.largest_change > self.tolerance

    @property
    def verdict(self) -> str:
        """The findings in one sentence."""
        alone, worst = self.conditions[0], self.worst
        random = CHANCE_MARGIN * self.chance >= self.tolerance
        by_itself = f" (copies of one image in one batch differ by up to {self.chance:.2g})" if random else ""
        reversed_ = ", below 50 %, as if lower scores were more abnormal" if alone.auroc < 0.5 - LEAST_GAIN else ""
        if not self.depends:
            return (
                f"No dependence found: in {len(self.conditions) - 1} kinds of batch the largest change of a score is "
                f"{worst.largest_change:.2g} standard deviations, no more than {'chance' if random else 'rounding'}"
                f"{by_itself}; AUROC is {100 * alone.auroc:.1f} %{reversed_}."
            )
        pairs = zip(self._of("ordered by label"), self._of("shuffled"), strict=True)
        ordered, shuffled = max(pairs, key=lambda pair: pair[0].auroc - pair[1].auroc)
        gain = ordered.auroc - alone.auroc
        if ordered.auroc >= shuffled.auroc + LEAST_GAIN:
            conclusion = "the label leaks" + ("" if gain > 0 else ", although not in the detector's favour")
        elif gain >= LEAST_GAIN:
            conclusion = "other images in the batch help it in any order"
        else:
            conclusion = f"the difference is {'hardly' if gain > 0 else 'not'} in the detector's favour"
        return (
            f"The score of an image depends on its batch: it moves by up to {worst.largest_change:.2g} standard "
            f"deviations ({worst.condition}, {worst.batch_size} at a time){by_itself}"
            f"{'' if self.alone_differs else ', while alone all images score the same'}; "
            f"with batches of {ordered.batch_size} ordered by label AUROC is {100 * ordered.auroc:.1f} %, "
            f"shuffled {100 * shuffled.auroc:.1f} %, one image at a time {100 * alone.auroc:.1f} %{reversed_}: "
            f"{conclusion}."
        )

    def _of(self, name: str) -> list[Condition]:
        return [condition for condition in self.conditions if condition.condition == name]
