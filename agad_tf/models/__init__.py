"""What is trained: Algorithm 1, its losses and scores, and what it is compared with."""
