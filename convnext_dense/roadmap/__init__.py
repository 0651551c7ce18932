"""The road from ResNet to ConvNeXt as a table, a figure, and trainings on one's own data."""
