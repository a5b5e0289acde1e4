"""Scorers that people plug in: CLIP, SigLIP, DINO, preference models from a folder of their own."""
