"""The kinds of attacks: the files here that hold them, in the order of the page."""

KINDS = (
    *("kills", "signals", "disk", "pairs", "deaths", "checkpoints"),
    *("hostile", "urls", "pictures", "names", "command_lines"),
)
