"""`python -m autoreg` is the program `autoreg`."""

from autoreg.cli import main

if __name__ == "__main__":
    main(prog_name="autoreg")
