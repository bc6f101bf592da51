"""Pure decisions: frozen values in, frozen values out. No async, clock, random, logging or I/O."""
