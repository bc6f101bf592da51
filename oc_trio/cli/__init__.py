"""The `oc-trio` command: thin modules that parse arguments, call the runtime and print results."""
