"""The console: what it looks like, what of it is live, and what other libraries may say there."""
