"""Floor 4, privacy: the door to private rows, the ledger, the noise, the trainer."""
