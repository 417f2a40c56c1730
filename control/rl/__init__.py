"""Training the policy with stable-baselines3."""
