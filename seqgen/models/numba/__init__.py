"""The optional stepper that numba compiles."""
