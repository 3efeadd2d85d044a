"""The API reference: Sphinx's configuration, its pages, and the resolution of cross-references (``make reference``)."""
