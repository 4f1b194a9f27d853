"""A vision-language model of pretrained parts (SmolLM2-135M, EfficientNet-Lite0) and a mapping module trained here."""
