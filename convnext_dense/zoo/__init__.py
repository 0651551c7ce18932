"""What was published: results in ``results``, weights of the backbone in ``weights``."""
