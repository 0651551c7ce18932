"""The hooks that make a run durable, which every run of the tools has."""

# Of convnext_dense.training.
GUARDS = (
    "RunIdentityHook",
    "StrictLoadHook",
    "TrainingStateHook",
    "ReproducibleStreamHook",
    "OwnBestHook",
    "DueValidationHook",
    "FiniteValuesHook",
)
