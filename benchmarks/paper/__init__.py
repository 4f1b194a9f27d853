"""The source paper's findings, measured on the embedded model and on a pretrained language model."""
