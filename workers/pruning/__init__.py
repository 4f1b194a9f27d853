"""Prunes decoder blocks while a plan is applied: scores, masks, narrower blocks, mask files."""
