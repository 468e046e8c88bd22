"""Options that several commands have alike, each command under a heading of its own."""

from functools import partial

import typer

of = partial(typer.Option, metavar="site|model", help="With --remove: of every site alike, or over the model.")
rounds = partial(typer.Option, help="Remove in so many rounds, each followed by recovery.")
learning_rate = partial(
    typer.Option,
    metavar="RATE",
    help="Of all training; falls to 0 along a cosine.",
    show_default="1e-3; 5e-5 for hf:",
)
bf16 = partial(
    typer.Option, "--bf16", help="Train in bfloat16: quicker on GPUs and CPUs that have it (AMX), slower on others."
)
ema_decay = partial(
    typer.Option,
    metavar="SHARE",
    help="Give back a running average of the weights, of which each step leaves this share, such as 0.99.",
    show_default="0, the last weights",
)
protect = partial(
    typer.Option, metavar="PATTERN", help="Sites that lose nothing, such as 'layers.0.*'; may be repeated."
)
multiple_of = partial(
    typer.Option, metavar="N", help="Round what is left of every site to a multiple: 8 and 16 are often fast."
)
become = partial(
    typer.Option,
    metavar="FORM",
    help="What layers that go become: affine, identity, on_off, collapse or drop.",
    show_default="collapse for linear_fit, drop for block_influence, else affine",
)
no_fold = partial(typer.Option, "--no-fold", help="Leave layers that have become linear as they are.")
train = partial(
    typer.Option,
    metavar="EPOCHS",
    help="Train the original first.",
    show_default="20 for zoo models without --weights, 3 for a new head",
)
