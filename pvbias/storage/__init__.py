"""Files of object stores, web servers and tar shards, through fsspec."""

from .addresses import Address, StoreError, is_address

__all__ = ["Address", "StoreError", "is_address"]
