"""Commands: what stands behind the entry scripts and the `uer` console script."""
