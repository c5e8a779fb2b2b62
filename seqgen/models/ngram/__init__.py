"""N-gram models: counting and discounts (fit), lookups (tables), the language model, counts that grow, ARPA files."""
