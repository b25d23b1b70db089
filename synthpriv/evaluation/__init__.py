"""Floor 3, the judge: imports schema only, so that it works on anybody's tables."""
