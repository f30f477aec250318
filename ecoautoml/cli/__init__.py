"""The command line: one file per command; entry point `ecoautoml.cli.app.main`."""
