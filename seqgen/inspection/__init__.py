"""Look inside trained models: traces of texts, and the measures made of them. It returns data and draws nothing."""
