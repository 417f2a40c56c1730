"""Plan + Scene -> Control."""
