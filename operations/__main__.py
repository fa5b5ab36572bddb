"""`python -m operations`."""

from operations.cli import main

if __name__ == "__main__":
    main()
