"""The video classifiers of PyTorchVideo."""
