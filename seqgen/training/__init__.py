"""Training: a generator of events over a learner, a schedule of the step, and checkpoints as transactions."""
