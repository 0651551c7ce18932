"""What the command lines share: flags, what they do to a config, and how an error is told."""
