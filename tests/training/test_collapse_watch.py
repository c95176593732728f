import pytest

from agad_tf.evaluation.scorer import Scorer
from agad_tf.training.collapse_watch import CollapseWatch
from agad_tf.training.epoch_scores import EpochScores


@pytest.mark.parametrize("contextual_adversarial", [True, False])
def test_a_constant_generator_is_noticed_towards_the_end_of_training(
    build_model, task, batch, tmp_path, capsys, contextual_adversarial
):
    model = build_model(contextual_adversarial=contextual_adversarial)
    for variable in model.generator.trainable_variables:
        variable.assign(0 * variable)
    model.compile(run_eagerly=True)
    watch = CollapseWatch(model, task, epochs=2)
    scores = EpochScores(task, Scorer(model, 4), tmp_path / "family.npz")
    model.generator_optimizer.learning_rate = 0.0
    history = model.fit(*batch, epochs=2, verbose=0, callbacks=[scores, watch]).history
    assert history["validation_reconstruction_spread"] == [0.0, 0.0]
    assert ("validation_pseudo_anomaly_auroc" in history) == contextual_adversarial
    said = capsys.readouterr().out
    assert "after epoch 2 the generator draws nearly the same image" in said
    assert "after epoch 1" not in said
