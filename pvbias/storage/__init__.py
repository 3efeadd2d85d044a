"""Files of object stores, web servers and tar shards, through fsspec."""

from .addresses import Address, StoreError, expand, is_address

__all__ = ["Address", "StoreError", "expand", "is_address"]
