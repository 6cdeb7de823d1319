"""Lets ``python -m fer_mlops`` be the command line."""

from fer_mlops.cli.main import main

if __name__ == "__main__":
    main()
