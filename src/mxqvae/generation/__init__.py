"""Generation: pairs drawn from the trained stages, and the folder and picture they are written to."""
