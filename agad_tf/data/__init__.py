"""Where pixels come from, who is normal, and how batches are made of them."""
