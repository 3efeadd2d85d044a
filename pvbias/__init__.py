"""pvbias: how much an action recogniser leans on static appearance, and training ones that lean less."""

__version__ = "0.1.0"
