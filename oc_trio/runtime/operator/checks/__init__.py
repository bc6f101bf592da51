"""What `oc-trio doctor` checks, one module per subject; each gives findings."""
