"""A drawn world in Visual Genome's format: small enough for minutes on a laptop, ambiguous enough to compare models on."""
