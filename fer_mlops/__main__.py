"""Entry point of ``python -m fer_mlops``: runs the command line."""

from fer_mlops.cli.main import main

if __name__ == "__main__":
    main()
