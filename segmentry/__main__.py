"""`python -m segmentry` is the command `segmentry`."""

from segmentry.cli import main

if __name__ == "__main__":
    main()
