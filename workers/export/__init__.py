"""Export of a plan to a deployable folder: a physically smaller model, checked by loading it again."""
