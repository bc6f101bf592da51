"""The option that every command has which reads the configuration."""

import click

# A path for the shell's completion; whether the file exists is for `find_config` to say.
config_option = click.option(
    "--config", "config_path", type=click.Path(), metavar="PATH", help="Configuration file (or OC_TRIO_CONFIG)."
)
