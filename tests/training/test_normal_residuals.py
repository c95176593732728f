import numpy as np
import pytest

from agad_tf.config.choices import RESIDUAL_NORMS
from agad_tf.data.training_inputs import training_inputs
from agad_tf.models.scores import fit_mahalanobis, residual_features
from agad_tf.training.normal_residuals import NormalResiduals


@pytest.mark.parametrize("residual_norm", RESIDUAL_NORMS)
def test_residuals_of_normal_training_images_are_learned_where_the_score_needs_them(build_model, task, residual_norm):
    model = build_model(residual_norm=residual_norm)
    inputs = training_inputs(task.train, model.generator.input_shape[1])
    callback = NormalResiduals(inputs)
    callback.set_model(model)
    callback.on_epoch_end(0)
    normals = inputs.of_rows(np.arange(inputs.normals))
    expected = residual_features(normals, model(normals))
    for variable, value in zip(model.residual_statistics, fit_mahalanobis(expected.numpy()), strict=False):
        np.testing.assert_allclose(variable, value, rtol=1e-3, atol=1e-3)
    assert bool(model.residual_statistics) == (residual_norm in ("mahalanobis", "combined"))


def test_residuals_that_are_not_finite_leave_the_statistics_as_they_are(build_model, task):
    model = build_model(residual_norm="mahalanobis")
    model.generator.trainable_variables[-1].assign(model.generator.trainable_variables[-1] * np.nan)
    callback = NormalResiduals(training_inputs(task.train, model.generator.input_shape[1]))
    callback.set_model(model)
    for variable in model.residual_statistics:
        variable.assign(np.full(variable.shape, 0.5))
    callback.on_epoch_end(0)
    for variable in model.residual_statistics:
        np.testing.assert_array_equal(variable.numpy(), np.full(variable.shape, 0.5, np.float32))
