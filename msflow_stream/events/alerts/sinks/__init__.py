"""Alert sinks, a file each; the settings' class of each, in `config.alerts`, names its sink's class."""
