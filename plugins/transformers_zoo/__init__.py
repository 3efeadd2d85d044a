"""Video classifiers of Hugging Face's transformers (VideoMAE, TimeSformer, ViViT, V-JEPA 2), by folder or hub address.

transformers itself is imported where a network is built, or fetched from the hub, and not before.
"""

from . import family, hub, key_layout, sampling

__all__ = ["family", "hub", "key_layout", "sampling"]
