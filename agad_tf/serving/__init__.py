"""The detector outside this package: SavedModel, ONNX, LiteRT and Apache Beam."""
