"""bfloat16 beside float32: what it does to a step and to a training."""
