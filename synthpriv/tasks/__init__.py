"""Floor 6, what people do with a fitted model: post-processing, at no further epsilon."""
