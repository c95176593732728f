from agad_tf.networks import build_generator


def test_unet_plus_plus_nodes_see_all_nodes_before_them_on_their_level():
    network = build_generator("unet_plus_plus", (16, 16, 1), 1 / 8)
    inputs_of_nodes = [len(layer.input) for layer in network.layers if "concatenate" in layer.name]
    # X^{i,j} joins j nodes of its level and one from below, for i + j up to 4.
    assert sorted(inputs_of_nodes) == sorted(j + 1 for j in range(1, 5) for _ in range(5 - j))
