"""How a customer feels: by words, by likeness, or from labels of somebody's own."""
