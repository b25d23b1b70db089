"""Floor 6, the gate and what leaves: policy, bundle, pages."""
