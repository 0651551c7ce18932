"""The command lines: their flags, what each command does, and how errors are printed."""
