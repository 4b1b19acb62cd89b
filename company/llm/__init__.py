"""The only place that talks to a model: gateway, structured replies, providers, the embedded model, scripts.

Empty on purpose: import the module you need.
"""
