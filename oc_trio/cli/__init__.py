"""The oc-trio command: thin modules that parse, call and print."""
