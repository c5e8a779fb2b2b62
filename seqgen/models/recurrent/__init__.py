"""Recurrent models: the equations of the cells, the stack of layers, the stepper."""
