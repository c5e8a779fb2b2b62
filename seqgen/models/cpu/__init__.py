"""Fast paths for the CPU. Each names its plain twin, which the tests compare it with."""
