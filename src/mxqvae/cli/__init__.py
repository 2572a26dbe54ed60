"""The command line. Its functions parse, call and print; what they call lives in the packages beside it."""
