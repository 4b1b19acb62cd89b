"""The public API grows here once the parts below it stand."""
