"""Registers the model `skipsearch` with lmms-eval, which reads the entry point `lmms_eval.models` at its start."""

from lmms_eval.models.registry_v2 import ModelManifest

MANIFEST = ModelManifest(
    "skipsearch",
    simple_class_path="workers.harness.lmms_model.Skipsearch",
    chat_class_path="workers.harness.lmms_model.SkipsearchChat",
)
"""The classes for `--force_simple` and for requests with conversations, lmms-eval's default."""
