"""The steps of the plan, one per file: each takes a plan and returns a new one."""
