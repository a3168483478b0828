"""The built-in training: model types that turn a config into a trained, scored model. Knows no study and no store."""
