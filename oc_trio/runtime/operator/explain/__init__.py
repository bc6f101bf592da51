"""Says why a message was answered or not, for `oc-trio explain`."""
