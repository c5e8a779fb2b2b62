"""The optional steppers that numba compiles. Their plain twins are the steppers of the model families."""
