"""``python -m ecoautoml`` is the command line."""

from ecoautoml.cli.app import main

if __name__ == "__main__":
    main()
