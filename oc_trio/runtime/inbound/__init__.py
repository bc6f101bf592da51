"""An event of the server becomes an admitted message, or is left out with a reason."""
