"""Reading images, dividing them into normal and abnormal, and making batches."""
