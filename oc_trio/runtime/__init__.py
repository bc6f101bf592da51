"""The supervision tree: the only package that opens long-lived nurseries."""
