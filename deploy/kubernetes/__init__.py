"""Kubernetes: our kinds as CustomResourceDefinitions, made from the code by `__main__`."""
