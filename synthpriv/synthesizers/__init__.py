"""Floor 5, models: a configuration becomes a fitted synthesizer."""
