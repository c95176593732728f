"""How far a model's score of an image depends on the other images of its batch."""
