"""From a plan to a folder that deploys: the model made physically smaller, checked by loading it again."""
